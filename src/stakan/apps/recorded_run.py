"""A run's journal as a recording: the market in the order in which the bot received it, and what was asked meanwhile."""

import hashlib
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from stakan.adapters.journal.files import (
    DECISIONS,
    MARKET,
    is_complete,
    read_events,
    read_header,
    read_intact,
)
from stakan.adapters.journal.records import Header, Inbox
from stakan.apps.config import Settings, settings_from
from stakan.apps.driver import Script
from stakan.apps.live.counterparties import at_receipt
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
    journal = folder / JOURNAL_FOLDER if (folder / JOURNAL_FOLDER).is_dir() else folder
    if not (journal / MARKET).exists():
        raise DataError(f"{folder} holds no journal with market events: name the folder of a run of `stakan trade`")
    header = read_header(journal)
    complete = is_complete(journal)
    return RecordedRun(
        folder=journal,
        header=header,
        is_complete=complete,
        script=_whole_script(journal) if complete else _torn_script(journal),
    )


def digest_of(run: RecordedRun, instruments: Collection[InstrumentId]) -> str:
    """Names the market of a run."""
    digest = hashlib.blake2b(" ".join(sorted(instruments)).encode(), digest_size=8)
    with (run.folder / MARKET).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _whole_script(journal: Path) -> Script:
    """Of an orderly run: requests and the last event that is not market data are among its decisions."""
    events = [record.event for record in read_intact(journal / DECISIONS) if isinstance(record, Inbox)]
    return Script(
        requests=tuple(event for event in events if isinstance(event, OperatorRequest)),
        end_ts=events[-1].ts_recv if events else 0,
    )


def _torn_script(journal: Path) -> Script:
    """Of a run whose process was killed: only what lies before the tear counts."""
    requests, last = [], 0
    for _, event in read_events(journal, torn=True):
        last = event.ts_recv
        if isinstance(event, OperatorRequest):
            requests.append(event)
    return Script(requests=tuple(requests), end_ts=last)
