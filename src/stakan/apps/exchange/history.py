"""Bounded records, and pages of them as the protocol cuts them."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from stakan.apps.exchange.numbers import whole
from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS


class Numbered(Protocol):
    """Anything that pages are cut from."""

    @property
    def ordinal(self) -> int:
        """Position in the order of creation."""
        ...


Item = TypeVar("Item", bound=Numbered)
Row = TypeVar("Row", bound=msgspec.Struct)


class Kept(msgspec.Struct, Generic[Row]):
    """A row with what it is found by."""

    ordinal: int
    at_ms: int
    row: Row


class History(Generic[Row]):
    """The last rows of one kind."""

    def __init__(self, kept: int) -> None:
        self.rows: deque[Kept[Row]] = deque(maxlen=kept)
        self.count = 0

    def add(self, row: Row, at_ms: int) -> None:
        """One more row."""
        self.count += 1
        self.rows.append(Kept(self.count, at_ms, row))

    def newest_first(self, first_ms: int, last_ms: int) -> Iterable[Kept[Row]]:
        """Rows of a stretch of time, both ends included."""
        return (kept for kept in reversed(self.rows) if first_ms <= kept.at_ms <= last_ms)


def stretch(start: int | None, end: int | None, now_ms: int, usual_ms: int = WEEK_MS) -> tuple[int, int]:
    """First and last millisecond of a query: the usual length where an end is missing; a week at most (10001)."""
    if start is None and end is None:
        return now_ms - usual_ms, now_ms
    if start is None:
        assert end is not None
        return end - usual_ms, end
    last = start + usual_ms if end is None else end
    if last < start:
        raise Refused(PARAMETER_ERROR, "params error: endTime is before startTime")
    if last - start > WEEK_MS:
        raise Refused(PARAMETER_ERROR, "params error: the time range should be within 7 days")
    return start, last


def cut(items: Iterable[Item], wanted: Callable[[Item], bool], limit: int, cursor: str) -> tuple[list[Item], str]:
    """One page of items that come newest first, and the cursor of the next one (empty after the last)."""
    before = _position(cursor)
    found: list[Item] = []
    for item in items:
        if (before is not None and item.ordinal >= before) or not wanted(item):
            continue
        if len(found) == limit:
            return found, str(found[-1].ordinal)
        found.append(item)
    return found, ""


def _position(cursor: str) -> int | None:
    if not cursor:
        return None
    number = whole(cursor, 18)
    if number is None:
        raise Refused(PARAMETER_ERROR, "params error: cursor invalid")
    return number


def listed(rows: list[Any], cursor: str) -> dict[str, Any]:
    """The `result` of a page."""
    return {"list": rows, "nextPageCursor": cursor, "category": "linear"}
