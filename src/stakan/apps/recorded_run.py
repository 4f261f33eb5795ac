"""A run's journal as a recording: the market in the order in which the bot received it, and what was asked meanwhile."""

import hashlib
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from stakan.adapters.journal.disk import LOCAL
from stakan.adapters.journal.layout import is_journal, segments
from stakan.adapters.journal.reading import is_complete, read_events, read_header, read_records, read_span
from stakan.adapters.journal.records import Header, Inbox
from stakan.adapters.journal.snapshots import read_snapshot
from stakan.apps.config import settings_from
from stakan.apps.driver import Script
from stakan.apps.live.counterparties import at_receipt
from stakan.apps.live.state_folder import RUNS
from stakan.apps.settings import Settings
from stakan.core.domain.batch import BatchBuilder, MarketWindow, window
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyMarketEvent, MarketEvent, OperatorRequest
from stakan.core.domain.ids import InstrumentId

JOURNAL_FOLDER = "journal"
PAPER = "paper"
AT_EXCHANGE = ("testnet", "live")
_EVENTS_PER_WINDOW = 4096


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that can be computed again."""

    folder: Path
    """Of the journal."""
    header: Header
    is_complete: bool
    """Whether it had an orderly end."""
    script: Script
    """Where its end is torn, of what can be read."""

    @property
    def settings(self) -> Settings:
        """Its configuration; raises ConfigError where this release knows others."""
        return settings_from(tomllib.loads(self.header.config))

    @property
    def carried_state(self) -> bytes | None:
        """What its engine began with; None where it began with nothing. Raises DataError where that is damaged."""
        before = self.header.first_number - 1
        return read_snapshot(LOCAL, self.folder, before) if before else None

    @property
    def is_paper(self) -> bool:
        """Whether its exchange was the simulated one, living through the market as it was received."""
        return self.header.mode == PAPER

    @property
    def is_at_exchange(self) -> bool:
        """Whether its orders reached an exchange."""
        return self.header.mode in AT_EXCHANGE


class RunHistory:
    """The market of a run, in windows, in its order of receipt; a `MarketHistory`."""

    def __init__(self, run: RecordedRun, instruments: Collection[InstrumentId]) -> None:
        self._run = run
        self._chosen = frozenset(instruments)

    def windows(self) -> Iterator[MarketWindow]:
        """Consecutive stretches; raises DataError where market events are missing, e.g. because they were not kept."""
        builders: dict[InstrumentId, BatchBuilder] = {}
        number = 0
        for number, event in enumerate(self._events(), 1):
            builder = builders.get(event.instrument)
            if builder is None:
                builder = builders[event.instrument] = BatchBuilder(event.instrument)
            builder.add(event, number)
            if number % _EVENTS_PER_WINDOW == 0:
                yield self._window(builders)
        if number % _EVENTS_PER_WINDOW:
            yield self._window(builders)

    def _events(self) -> Iterator[AnyMarketEvent]:
        for _, event in read_events(self._run.folder, torn=not self._run.is_complete):
            if isinstance(event, MarketEvent) and event.instrument in self._chosen:
                yield event

    def _window(self, builders: dict[InstrumentId, BatchBuilder]) -> MarketWindow:
        batches = tuple(builder.build() for builder in builders.values() if len(builder))
        return window(tuple(at_receipt(batch) for batch in batches) if self._run.is_paper else batches)


def open_run(folder: Path) -> RecordedRun:
    """The journal of a run's folder, or the folder of a journal; raises DataError where there is none."""
    journal = journal_of(folder)
    return RecordedRun(
        folder=journal, header=read_header(journal), is_complete=is_complete(journal), script=_script(journal)
    )


def journal_of(folder: Path) -> Path:
    """The folder of the journal of a run's folder, or itself; raises DataError where there is none."""
    journal = folder / JOURNAL_FOLDER if (folder / JOURNAL_FOLDER).is_dir() else folder
    if not is_journal(journal, LOCAL):
        raise DataError(f"{folder} holds no journal: name the folder of a run of `stakan trade`, or of its journal")
    return journal


def journals_of(folder: Path) -> list[Path]:
    """The journal of a run, or those of all runs of a state folder, in order; raises DataError where there is none."""
    runs = sorted(folder.glob(f"{RUNS}/*/{JOURNAL_FOLDER}"))
    found = [journal for journal in runs if is_journal(journal, LOCAL)]
    return found or [journal_of(folder)]


def digest_of(run: RecordedRun, instruments: Collection[InstrumentId]) -> str:
    """Names the market of a run."""
    digest = hashlib.blake2b(" ".join(sorted(instruments)).encode(), digest_size=8)
    for path in segments(run.folder, LOCAL):
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _script(journal: Path) -> Script:
    """What was asked for, and when it ended: what lies behind a tear does not count."""
    events = (record.event for record in read_records(journal, torn=True, market=False) if isinstance(record, Inbox))
    requests = tuple(event for event in events if isinstance(event, OperatorRequest))
    return Script(requests=requests, end_ts=read_span(journal).last_ts)
