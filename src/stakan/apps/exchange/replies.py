"""What an account answers and what it tells on its private streams, before any framing."""

from typing import Any, Literal

import msgspec

Topic = Literal["order", "execution", "execution.fast", "position", "wallet"]
OK = 0


class Reply(msgspec.Struct, frozen=True):
    """The parts of Bybit's envelope that the request decides; `result` and `ext` are ready for JSON."""

    result: Any
    code: int = OK
    message: str = "OK"
    ext: Any = msgspec.field(default_factory=dict)
    """`retExtInfo`."""


class Push(msgspec.Struct, frozen=True):
    """Rows for the subscribers of one topic; `at_ms` is the time of the cause. All rows are linear."""

    topic: Topic
    rows: tuple[Any, ...]
    """Ready for JSON: structs whose encoded names are Bybit's."""
    at_ms: int
