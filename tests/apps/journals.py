"""Journals of real engines, for tests of what reads them."""

import msgspec

from stakan.adapters.journal.report import verify
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.adapters.synthetic.config import demo_config
from stakan.apps.backtest import Backtest, header_of
from stakan.apps.cli.running import SYNTHETIC_SETTINGS
from stakan.apps.config import load_settings
from stakan.apps.sources import from_generator
from stakan.core.domain.units import SECOND, Nanos

LIMITS = JournalLimits(ballast_bytes=0, segment_ns=5 * SECOND, snapshots=2)


class Snapping:
    """A journal that gets the engine's state every so many steps, as a live loop gives it every minute."""

    def __init__(self, journal):
        self.journal = journal
        self.engine = None

    def event(self, number, event):
        self.journal.event(number, event)

    def append(self, step):
        self.journal.append(step)
        if step.number % 300 == 0:
            self.journal.snapshot(step.number, self.engine.snapshot())


def a_run(folder):
    """A run of half a minute in several segments, with states on the way."""
    source = from_generator(demo_config(duration_ns=Nanos(30 * SECOND)))
    settings = load_settings(None, SYNTHETIC_SETTINGS, {})
    header = msgspec.structs.replace(header_of(source, settings), mode="paper", is_synthetic=True)
    with FileJournal(folder / "journal", header, limits=LIMITS) as journal:
        snapping = Snapping(journal)
        backtest = Backtest(source, settings, snapping)
        snapping.engine = backtest.engine
        backtest.run()
    assert len(verify(folder / "journal").segments) >= 4
    return folder
