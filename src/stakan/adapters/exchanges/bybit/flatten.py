"""Closing all that an account has open, as a procedure that gives up never: for who is left when the bot is gone.

In the order of decision 7: entries are cancelled, and never the stop; positions are closed by reduce-only market orders,
again until their size is zero; then what is left of stops is cleared. Every round reads the account anew, so that no
answer of the exchange has to be believed: a close that was carried out twice finds nothing to reduce.
"""

from collections.abc import Callable
from itertools import count
from typing import TypeVar

import msgspec

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.errors import Kind, Reaction
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.messages import OrderRow, PositionRow, amount
from stakan.adapters.exchanges.bybit.rest import Pause, Procedure, ServerClock, measure_clock, patiently, post
from stakan.core.domain.errors import DataError, VenueError
from stakan.core.domain.units import SECOND

T = TypeVar("T")
_SETTLE = "USDT"
_FIRST_PAUSE = SECOND // 2
_LONGEST_PAUSE = 10 * SECOND
_EMPTY_ROUNDS = 2
"""In a row until it is done: what was on its way when the first one was read has arrived by the second."""
_PLAIN = ("", "UNKNOWN")
_OPPOSITE = {"Buy": "Sell", "Sell": "Buy"}


class Exposure(msgspec.Struct, frozen=True):
    """What is open at the exchange and can make or lose money."""

    positions: tuple[PositionRow, ...]
    entries: tuple[OrderRow, ...]

    @property
    def is_nothing(self) -> bool:
        """Neither a position nor an order that could open one."""
        return not self.positions and not self.entries

    @property
    def text(self) -> str:
        """For people."""
        held = [f"{row.symbol} {row.side} {row.size}{_stop_text(row)}" for row in self.positions]
        return ", ".join([*held, *(f"entry {row.symbol} {row.side} {row.qty}" for row in self.entries)]) or "nothing"


def exposure() -> Procedure[Exposure]:
    """Read positions and open orders; raises as `rest.patiently`."""
    positions = yield from inquiry.positions()
    orders = yield from inquiry.open_orders()
    return Exposure(
        tuple(row for row in positions if amount(row.size)),
        tuple(row for row in orders if not row.reduce_only and row.stop_order_type in _PLAIN),
    )


def flatten(
    name: str, server_clock: ServerClock, clock: Callable[[], int], say: Callable[[str], None]
) -> Procedure[tuple[str, ...]]:
    """Close everything; the symbols that had a position. `name` begins the ids of its orders, so make a new one.

    Raises nothing that the exchange says or does not say: it goes on until the account is flat.
    """
    numbers = count(1)
    closed: dict[str, None] = {}
    empty, pause = 0, _FIRST_PAUSE
    while empty < _EMPTY_ROUNDS:
        # Each for itself: an exchange that refuses one of them may carry out the others.
        yield from _tried(measure_clock(server_clock, clock, samples=1), say)
        is_cancelled = yield from _tried(_cancel("Order", settleCoin=_SETTLE), say)
        found = yield from _tried(exposure(), say)
        for row in found.positions if found is not None else ():
            closed[row.symbol] = None
            yield from _tried(_close(row, f"{name}-{next(numbers)}", say), say)
        is_known = is_cancelled is not None and found is not None
        empty = empty + 1 if is_known and found is not None and found.is_nothing else 0
        pause = _FIRST_PAUSE if is_known else min(2 * pause, _LONGEST_PAUSE)
        yield Pause(pause)
    for symbol in closed:
        # The exchange clears the stops of a flat position by itself; what it leaves is not worth staying for.
        yield from _tried(_cancel("StopOrder", symbol=symbol), say)
    return tuple(closed)


def _tried(procedure: Procedure[T], say: Callable[[str], None]) -> Procedure[T | None]:
    """What it gives; None, and the reason said, where the exchange or what it sent is in the way."""
    try:
        return (yield from procedure)
    except (VenueError, DataError) as error:
        say(str(error))
        return None


def _close(row: PositionRow, client: str, say: Callable[[str], None]) -> Procedure[None]:
    """One attempt; whatever becomes of it, the next reading shows it. Raises DataError for a position without a side."""
    if row.side not in _OPPOSITE:
        raise DataError(f"{row.symbol}: a position of {row.size} has side {row.side!r}")
    reply = yield post(
        Kind.CREATE,
        Group.CREATE,
        "/v5/order/create",
        category="linear",
        symbol=row.symbol,
        side=_OPPOSITE[row.side],
        orderType="Market",
        qty=row.size,
        positionIdx=row.position_idx,
        reduceOnly=True,
        orderLinkId=client,
    )
    assert reply is not None
    outcome = "sent" if reply.reaction is Reaction.OK else reply.why
    say(f"closing {row.symbol} {row.side} {row.size}: {outcome}")


def _cancel(which: str, **scope: str) -> Procedure[bool]:
    request = post(Kind.CANCEL, Group.CANCEL_ALL, "/v5/order/cancel-all", category="linear", orderFilter=which, **scope)
    yield from patiently(request)
    return True


def _stop_text(row: PositionRow) -> str:
    return f" under its stop at {row.stop_loss}" if amount(row.stop_loss) else " WITHOUT A STOP"
