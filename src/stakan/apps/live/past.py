"""The run before this one: its engine as it was at the end of its journal (ADR 0013)."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from stakan import __version__
from stakan.adapters.journal.disk import LOCAL, Disk
from stakan.adapters.journal.reading import has_begun, read_header, records_after
from stakan.adapters.journal.records import Header, Inbox, Market, Outcome
from stakan.adapters.journal.snapshots import latest_state
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.apps.replay import engine_of, is_same
from stakan.core.domain.errors import DataError, StakanError
from stakan.core.domain.step import Step
from stakan.core.domain.units import SECOND
from stakan.core.engine import Engine

_MARGIN_NS = 60 * SECOND
"""Executions are read again from this long before the last moment at which all of them were known."""


class Past(msgspec.Struct, frozen=True):
    """A run that ended, in order or not."""

    run: str
    """Name of its folder."""
    engine: Engine
    folded: int
    """Steps that were computed again."""
    venue_account: str = ""
    """Where it traded, and on whose account; see `Header`."""

    @property
    def unknown_since(self) -> int:
        """Our time since which executions may have happened that its books do not have."""
        state = self.engine.state
        return (state.agreed_ts or state.now) - _MARGIN_NS


def recall(runs: Sequence[Path], mode: str, account: str, *, disk: Disk = LOCAL) -> Past | None:
    """The last run of a mode and an account among folders of runs, oldest first; None where there is none.

    Raises DataError where its journal is damaged, or where this release makes other steps of its tail than were
    recorded: a journal is never guessed around.
    """
    for run in reversed(runs):
        folder = run / JOURNAL_FOLDER
        if not has_begun(folder, disk=disk):
            continue
        header = read_header(folder, disk=disk)
        if header.mode == mode and header.account == account:
            try:
                engine, folded = _folded(header, folder, disk)
            except StakanError as error:
                raise DataError(f"the run {run.name} cannot be carried on: {error}") from error
            return Past(run.name, engine, folded, header.venue_account)
    return None


def _folded(header: Header, folder: Path, disk: Disk) -> tuple[Engine, int]:
    """Newest sound snapshot, then the tail step by step, each compared with what was recorded."""
    engine = engine_of(header)
    number, state = latest_state(folder, disk=disk) or (0, b"")
    if state:
        engine.restore(state)
    folded = 0
    made: Step | None = None
    for record in records_after(folder, number, disk=disk):
        match record:
            case Inbox(event=event) | Market(event=event):
                _expect_nothing(made, header)
                made = engine.step(event)
                folded += 1
            case Outcome(step=step):
                _compare(made, step, header)
                made = None
            case _:
                pass
    return engine, folded


def _expect_nothing(made: Step | None, header: Header) -> None:
    if made is not None and made.commands:
        _differs(made.number, header)


def _compare(made: Step | None, recorded: Step, header: Header) -> None:
    if made is None or not is_same(made, recorded):
        _differs(recorded.number, header)


def _differs(number: int, header: Header) -> None:
    raise DataError(
        f"step {number} comes out otherwise than it was recorded by stakan {header.stakan} (this is {__version__}): "
        "start that release once and stop it in order, or begin a new state folder with --take-over"
    )
