"""All that an account holds, from the rows that Bybit tells of it when asked: one event for the engine."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from stakan.adapters.exchanges.bybit.messages import OrderRow, PositionRow, WalletRow, amount, number
from stakan.adapters.wire import Grid, grid_of
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AccountRead, HeldPosition, OpenOrder
from stakan.core.domain.ids import ClientOrderId, InstrumentId, VenueOrderId, instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND, Lots, Side, Ticks

SETTLE = "USDT"
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}


class Reading:
    """Collects the rows of one reading; rows of instruments that are not given are passed over."""

    def __init__(
        self, instruments: Mapping[InstrumentId, Instrument], venue: str, asked_ts: int, asked_millis: int
    ) -> None:
        """`asked_ts` is when it begins by our clock, `asked_millis` a moment certainly not later by the exchange's."""
        self._instruments = instruments
        self._venue = venue
        self._asked_ts = asked_ts
        self._asked_millis = asked_millis
        self._positions: list[HeldPosition] = []
        self._orders: list[OpenOrder] = []
        self._balance: Decimal | None = None

    def positions(self, rows: Iterable[PositionRow]) -> None:
        """Take open positions; raises DataError where a number cannot be read."""
        for row in rows:
            grid = self._grid(row.symbol)
            lots = grid.lots(row.size or "0") if grid is not None else 0
            if grid is not None and lots:
                self._positions.append(_held(row, grid, lots))

    def orders(self, rows: Iterable[OrderRow]) -> None:
        """Take open orders; the legs of positions are not among them. Raises DataError as `positions`."""
        for row in rows:
            grid = self._grid(row.symbol)
            if grid is not None and not row.stop_order_type.endswith(("StopLoss", "TakeProfit", "TrailingStop")):
                self._orders.append(_open(row, grid))

    def wallet(self, rows: Iterable[WalletRow]) -> None:
        """Take the balance of the settlement currency."""
        told = [coin.wallet_balance for row in rows for coin in row.coin if coin.coin == SETTLE]
        if any(told):
            self._balance = sum((amount(text) for text in told), Decimal(0))

    def event(self, clock: Callable[[], int], *, is_streaming: bool) -> AccountRead:
        """What was read."""
        return AccountRead(
            ts_event=self._asked_millis * MILLISECOND,
            ts_recv=clock(),
            asked_ts=self._asked_ts,
            positions=tuple(self._positions),
            orders=tuple(self._orders),
            balance=self._balance,
            is_streaming=is_streaming,
        )

    def _grid(self, symbol: str) -> Grid | None:
        rules = self._instruments.get(instrument_id(self._venue, Category.LINEAR, symbol))
        return grid_of(rules) if rules is not None else None


def _held(row: PositionRow, grid: Grid, lots: int) -> HeldPosition:
    return HeldPosition(
        instrument=grid.instrument,
        lots=Lots(lots * _side(row.side, grid)),
        entry=number(row.avg_price or row.entry_price),
        stop_loss=_ticks(grid, row.stop_loss),
        take_profit=_ticks(grid, row.take_profit),
    )


def _open(row: OrderRow, grid: Grid) -> OpenOrder:
    return OpenOrder(
        instrument=grid.instrument,
        client_order_id=ClientOrderId(row.order_link_id),
        venue_order_id=VenueOrderId(row.order_id),
        side=_side(row.side, grid),
        remaining=Lots(max(0, grid.lots(row.qty or "0") - grid.lots(row.cum_exec_qty or "0"))),
        reduce_only=row.reduce_only,
    )


def _side(text: str, grid: Grid) -> Side:
    side = _SIDES.get(text)
    if side is None:
        raise DataError(f"{grid.instrument}: side should be Buy or Sell, got {text!r}")
    return side


def _ticks(grid: Grid, text: str) -> Ticks | None:
    return grid.ticks(text) if number(text) else None
