"""Public data of venues that have no adapter of their own, by ccxt.pro: books and prints as events.

ccxt keeps the books and hands out merged ones without sequence numbers, so what a venue dropped cannot be seen here:
good enough to record and to study, not to trade on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import numpy as np

from stakan.adapters.exchanges.ccxt.library import any_error, decimal_of, network_error, text_of
from stakan.adapters.exchanges.ccxt.markets import Market
from stakan.adapters.wire import Grid, grid_of
from stakan.core.domain.errors import DataError, RequestRefused
from stakan.core.domain.events import AnyMarketEvent, BookDelta, BookSnapshot, FeedDown, TradePrint
from stakan.core.domain.ids import InstrumentId, trade_id_number
from stakan.core.domain.units import MILLISECOND, Lots, Side

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_REMEMBERED = 2_000
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_Levels = dict[int, int]


class _Stream:
    """One market: the levels that were told last, and the prints."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.id = market.rules.id
        self.grid: Grid = grid_of(market.rules)
        self.told: tuple[_Levels, _Levels] | None = None
        self.sequence = 0
        self.prints: dict[int, None] = {}
        self.is_down = False


class CcxtFeed:
    """Books and prints of some markets of one exchange, as long as `run` runs: a `core.ports.MarketFeed`.

    `clock` gives strictly increasing nanoseconds. Books are told as a snapshot and the changes of the best `depth`
    levels since.
    """

    def __init__(
        self,
        exchange: Any,
        markets: Iterable[Market],
        *,
        deliver: Callable[[AnyMarketEvent], None],
        clock: Callable[[], int],
        depth: int = 50,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._exchange = exchange
        self._streams = {market.rules.id: _Stream(market) for market in markets}
        self._deliver = deliver
        self._clock = clock
        self._depth = depth
        self._sleep = sleep
        self.sideless = 0
        """Prints without an aggressor, which were left out."""

    def resync(self, instrument: InstrumentId) -> None:
        """The next book of this instrument is told as a whole."""
        stream = self._streams.get(instrument)
        if stream is not None:
            stream.told = None

    async def run(self) -> None:
        """Until cancelled; interruptions are told and survived.

        Raises RequestRefused where the exchange has no such stream, DataError where a number is off the grid.
        """
        async with asyncio.TaskGroup() as group:
            for stream in self._streams.values():
                group.create_task(self._watch(stream, self._next_book))
                group.create_task(self._watch(stream, self._next_prints))

    async def _watch(self, stream: _Stream, take: Callable[[_Stream], Awaitable[None]]) -> None:
        network, anything = network_error(), any_error()
        wait = _FIRST_WAIT_S
        while True:
            try:
                await take(stream)
                wait = _FIRST_WAIT_S
            except network as error:
                self._interrupt(stream, f"{type(error).__name__}: {error}")
                await self._sleep(wait)
                wait = min(_LONGEST_WAIT_S, 2 * wait)
            except anything as error:
                raise RequestRefused(f"{stream.id}: {type(error).__name__}: {error}") from error

    def _interrupt(self, stream: _Stream, why: str) -> None:
        stream.told = None
        if not stream.is_down:
            stream.is_down = True
            now = self._clock()
            self._deliver(FeedDown(instrument=stream.id, ts_event=now, ts_recv=now, why=why))

    # --- books ------------------------------------------------------------------------------------------------------

    async def _next_book(self, stream: _Stream) -> None:
        book = await self._exchange.watch_order_book(stream.market.symbol, self._depth)
        now = self._clock()
        shown = self._side(stream, book["bids"]), self._side(stream, book["asks"])
        told, stream.told = stream.told, shown
        stream.is_down = False
        changes = [_changes(old, new) for old, new in zip(told or ({}, {}), shown, strict=True)]
        rows = [row for side in changes for row in side]
        if told is not None and not rows:
            return
        stream.sequence += 1
        make = BookSnapshot if told is None else BookDelta
        self._deliver(
            make(
                ts_event=_nanoseconds(book, now),
                ts_recv=now,
                instrument=stream.id,
                sequence=stream.sequence,
                previous_sequence=stream.sequence - 1,
                levels=np.array(rows, np.int64).reshape(-1, 2),
                bid_count=len(changes[0]),
            )
        )

    def _side(self, stream: _Stream, rows: Iterable[Any]) -> _Levels:
        levels = {}
        for row, _ in zip(rows, range(self._depth), strict=False):
            price = stream.grid.ticks(text_of(row[0], f"{stream.id}: price"))
            levels[int(price)] = int(self._lots(stream, row[1]))
        return levels

    def _lots(self, stream: _Stream, amount: object) -> Lots:
        number = decimal_of(amount)
        if number is None:
            raise DataError(f"{stream.id}: size is missing")
        return stream.grid.lots(f"{number * stream.market.contract:f}")

    # --- prints -----------------------------------------------------------------------------------------------------

    async def _next_prints(self, stream: _Stream) -> None:
        rows = await self._exchange.watch_trades(stream.market.symbol)
        for row in rows:
            side = _SIDES.get(row.get("side") or "")
            if side is None:
                self.sideless += 1
                continue
            number = trade_id_number(_identity(row))
            if number in stream.prints:
                continue
            stream.prints[number] = None
            if len(stream.prints) > _REMEMBERED:
                del stream.prints[next(iter(stream.prints))]
            now = self._clock()
            self._deliver(
                TradePrint(
                    ts_event=_nanoseconds(row, now),
                    ts_recv=now,
                    instrument=stream.id,
                    price=stream.grid.ticks(text_of(row["price"], f"{stream.id}: price")),
                    size=self._lots(stream, row["amount"]),
                    side=side,
                    trade_id=number,
                )
            )


def _changes(old: _Levels, new: _Levels) -> list[tuple[int, int]]:
    """Deletes first, so that the book is never crossed on the way."""
    gone = [(price, 0) for price in old if price not in new]
    return gone + [(price, size) for price, size in new.items() if old.get(price) != size]


def _identity(row: Mapping[str, Any]) -> str:
    """Not every venue numbers its trades."""
    if row.get("id"):
        return str(row["id"])
    return "/".join(str(row.get(name)) for name in ("timestamp", "side", "price", "amount"))


def _nanoseconds(row: Mapping[str, Any], otherwise: int) -> int:
    """The venue's time; ours where it does not say it."""
    timestamp = row.get("timestamp")
    return int(timestamp) * MILLISECOND if timestamp else otherwise
