"""A journal as rows for people and scripts: events, facts and commands in their order, and which of them are wanted."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np

from stakan.adapters.instruments import resolve
from stakan.adapters.journal.reading import read_header, read_records
from stakan.adapters.journal.records import MARKET_DATA, End, Header, Inbox, Market, Outcome, Record
from stakan.core.domain.commands import AnyCommand, SubmitOrder
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.facts import AnyFact, PositionTransitioned
from stakan.core.domain.units import Side

RUN = "run"
EVENT = "event"
FACT = "fact"
COMMAND = "command"
LATEST = 2**63 - 1
_NOTHING: tuple[Any, ...] = (None, "", [], ())
_SOURCES = {EVENT: AnyEvent, FACT: AnyFact, COMMAND: AnyCommand}
_KINDS = {source: {kind.__name__.lower(): kind.__name__ for kind in get_args(of)} for source, of in _SOURCES.items()}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that entered, happened or was to be done."""

    number: int
    """Of its step."""
    ts: int
    """Receive time of the step's event."""
    source: str
    """run, event, fact, command."""
    kind: str
    instrument: str
    """Empty where it is of none."""
    values: dict[str, Any]
    """All else that it says."""

    @property
    def text(self) -> str:
        """Its values in one line; levels as their count, sides as words, and no second time."""
        shown = (pair for pair in self.values.items() if pair[0] != "ts_event" and pair[1] not in _NOTHING)
        return ", ".join(f"{key}={_short(value, key)}" for key, value in shown)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows; everything where nothing is said, except market data."""

    kinds: frozenset[str] = frozenset()
    """Names of kinds; none stands for all."""
    instrument: str = ""
    """Full or short name."""
    about: str = ""
    """Id of an order, intent, position or execution."""
    since: int = 0
    until: int = LATEST
    """Receive times, both included."""
    market: bool = False
    """Whether market data is wanted too."""


def kinds_of(names: Iterable[str]) -> frozenset[str]:
    """Kinds by their names in any case, or all of `events`, `facts`, `commands`; raises ConfigError for others."""
    found: set[str] = set()
    for name in names:
        word = name.lower()
        group = _KINDS.get(word.removesuffix("s"))
        kinds = group.values() if group is not None else [kinds[word] for kinds in _KINDS.values() if word in kinds]
        if not kinds:
            known = "; ".join(f"{source}s: {', '.join(kinds.values())}" for source, kinds in _KINDS.items())
            raise ConfigError(f"nothing in a journal is called {name!r}; known are {known}")
        found.update(kinds)
    return frozenset(found)


def rows_of(journal: Path, wanted: Wanted) -> Iterator[Row]:
    """The rows of a journal as far as it can be read.

    Raises DataError where it is damaged, ConfigError where it has no such instrument.
    """
    instrument = wanted.instrument
    if instrument:
        instrument = resolve(instrument, {rules.id for rules in read_header(journal).instruments})
    market = wanted.market or any(kind.__name__ in wanted.kinds for kind in MARKET_DATA)
    ids = {wanted.about} if wanted.about else set()
    for record in read_records(journal, torn=True, market=market, since=wanted.since, until=wanted.until):
        for number, ts, source, value in _parts(record):
            if not wanted.since <= ts <= wanted.until or (wanted.kinds and type(value).__name__ not in wanted.kinds):
                continue
            row = _row(number, ts, source, value)
            if instrument and row.instrument != instrument:
                continue
            if ids and not _is_about(value, row, ids):
                continue
            yield row


def _parts(record: Record) -> Iterator[tuple[int, int, str, Any]]:
    match record:
        case Header():
            yield record.first_number - 1, 0, RUN, record
        case Market() | Inbox():
            yield record.number, record.event.ts_recv, EVENT, record.event
        case Outcome(step=step):
            for fact in step.facts:
                yield step.number, step.ts, FACT, fact
            for command in step.commands:
                yield step.number, step.ts, COMMAND, command
        case End():
            yield record.number, LATEST, RUN, record


def _row(number: int, ts: int, source: str, value: Any) -> Row:
    values = msgspec.to_builtins(value, enc_hook=_as_list)
    if isinstance(values, list):
        # Records of the journal itself are arrays.
        values = dict(zip(value.__struct_fields__, values[1:], strict=True))
        for bulky in ("config", "instruments"):
            values.pop(bulky, None)
    instrument = _instrument(values)
    values.pop("instrument", None)
    values.pop("type", None)
    if source == EVENT:
        values.pop("ts_recv")
    return Row(number=number, ts=ts, source=source, kind=type(value).__name__, instrument=instrument, values=values)


def _instrument(values: dict[str, Any]) -> str:
    """Of what is said, or of the order, signal or intent in it; empty where there is none."""
    if values.get("instrument"):
        return str(values["instrument"])
    nested = (_instrument(value) for value in values.values() if isinstance(value, dict))
    return next(filter(None, nested), "")


def _is_about(value: Any, row: Row, ids: set[str]) -> bool:
    """Whether a row names one of the ids; an intent's orders and position belong to it from then on."""
    if not _names(row.values, ids):
        return False
    if isinstance(value, SubmitOrder):
        ids.add(value.order.client_order_id)
    elif isinstance(value, PositionTransitioned):
        ids.add(value.position)
    return True


def _names(value: Any, ids: set[str]) -> bool:
    if isinstance(value, str):
        return value in ids
    if isinstance(value, dict):
        return any(_names(one, ids) for one in value.values())
    return isinstance(value, list | tuple) and any(_names(one, ids) for one in value)


def _as_list(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError(f"cannot show {type(value).__name__}")


def _short(value: Any, key: str = "") -> str:
    if key == "side":
        return Side(value).name.lower()
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{name}={_short(one, name)}" for name, one in value.items() if one not in _NOTHING) + "}"
        )
    if isinstance(value, list) and value and isinstance(value[0], list):
        return f"{len(value)} levels"
    if isinstance(value, list | tuple):
        return "[" + "; ".join(_short(one) for one in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
