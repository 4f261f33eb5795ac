"""What Bybit says of our orders and our account, as events that the engine understands: pure, and indifferent to order.

The same rows come by private topics, by answers to queries and twice over after a reconnect; between topics there is no
order at all (docs of Bybit v5, `websocket/private`). So every row is merged, not followed:

- Executions are the only fills, each once by its id. An order's end is told when its executions are, so a cancel never
  overtakes a fill of the same order.
- Terms of an order change with a later `updatedTime` only; nothing follows an end but fills.
- Stop and take-profit of a position are known by their legs (order rows made by the exchange) and by position rows;
  the later of the two rules, and a change is told once.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TypedDict, TypeVar

import msgspec

from stakan.adapters.exchanges.bybit.messages import (
    CoinRow,
    ExecutionRow,
    OrderRow,
    PositionRow,
    PrivateFrame,
    WalletRow,
    amount,
    millis,
    number,
    read,
)
from stakan.adapters.wire import Grid, grid_of
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import (
    FillOrigin,
    FundingCharged,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    ProtectionChanged,
    VenueEvent,
)
from stakan.core.domain.ids import ClientOrderId, ExecutionId, InstrumentId, VenueOrderId, instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.orders import NewOrder, OrderType
from stakan.core.domain.units import MILLISECOND, SECOND, Lots, Side, Ticks

Row = TypeVar("Row")
TOPICS = ("order", "execution", "position", "wallet")
"""What the private socket subscribes to."""
NOBODY = ClientOrderId("")
WAIT_FOR_ORDER = 5 * SECOND
"""How long an execution without a client id waits for the answer that says whose it is."""

_LIVE = frozenset(("New", "PartiallyFilled", "Untriggered", "Triggered", "Active"))
_GONE = frozenset(("Cancelled", "Deactivated", "PartiallyFilledCanceled"))
_OVER = frozenset((*_GONE, "Filled", "Rejected"))
_STOP_LEGS = frozenset(("StopLoss", "PartialStopLoss", "TrailingStop"))
_TARGET_LEGS = frozenset(("TakeProfit", "PartialTakeProfit"))
_WHOLE_LEGS = frozenset(("StopLoss", "TakeProfit"))
_STOP_MAKERS = frozenset(("CreateByStopLoss", "CreateByPartialStopLoss", "CreateByTrailingStop"))
_TARGET_MAKERS = frozenset(("CreateByTakeProfit", "CreateByPartialTakeProfit", "CreateByTrailingProfit"))
_LIQUIDATION_MAKERS = frozenset(("CreateByLiq", "CreateByTakeOver_PassThrough"))
_ADL_MAKERS = frozenset(("CreateByAdl_PassThrough",))
_FORCED = {"BustTrade": FillOrigin.LIQUIDATION, "AdlTrade": FillOrigin.ADL}
_MOVES = frozenset(("Trade", "BustTrade", "AdlTrade", "BlockTrade", "MovePosition", "FutureSpread", "Delivery"))
"""Executions that change a position."""
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_REMEMBERED = 50_000


class Holding(msgspec.Struct, frozen=True):
    """A position as the exchange tells it."""

    instrument: InstrumentId
    lots: int
    """Signed."""
    entry: Decimal | None
    leverage: Decimal | None
    stop_loss: Ticks | None
    take_profit: Ticks | None
    ts: int
    """Nanoseconds of the exchange's clock."""


class Coin(msgspec.Struct, frozen=True):
    """One coin of the wallet."""

    name: str
    balance: Decimal
    available: Decimal
    """For positions in isolated margin: balance less margins, locked and bonus."""
    equity: Decimal | None


class _About(TypedDict):
    """What all events about an order have in common."""

    ts_event: int
    ts_recv: int
    instrument: InstrumentId
    client_order_id: ClientOrderId
    venue_order_id: VenueOrderId


class _Order(msgspec.Struct):
    """What was told of one order so far."""

    client: ClientOrderId
    instrument: InstrumentId
    is_limit: bool
    price: Ticks | None
    size: Lots
    venue: VenueOrderId = VenueOrderId("")
    asked: tuple[Ticks, Lots] | None = None
    is_conditional: bool = False
    is_seen: bool = False
    """Whether the exchange has spoken of it."""
    is_accepted: bool = False
    is_triggered: bool = False
    is_over: bool = False
    end: OrderCancelled | OrderRejected | None = None
    """Held until the executions that it counts are there."""
    booked: int = 0
    told: int = 0
    """`cumExecQty` in lots."""
    lacking_since: int | None = None
    updated: int = 0


class _Legs(msgspec.Struct):
    """Stop or take-profit of one instrument: legs that live, legs that are gone, and what position rows say."""

    live: dict[str, tuple[int, Ticks]] = msgspec.field(default_factory=dict)
    gone: OrderedDict[str, None] = msgspec.field(default_factory=OrderedDict)
    ts: int = 0
    held: Ticks | None = None
    held_ts: int = -1

    def leg(self, name: str, price: Ticks | None, ts: int) -> None:
        """A leg lives at a price, or (None) is gone for ever."""
        self.ts = max(self.ts, ts)
        if price is None:
            self.live.pop(name, None)
            self.gone[name] = None
            if len(self.gone) > _REMEMBERED:
                self.gone.popitem(last=False)
        elif name not in self.gone and ts >= self.live.get(name, (0, 0))[0]:
            self.live[name] = (ts, price)

    def hold(self, price: Ticks | None, ts: int) -> None:
        """A position row says so."""
        if ts >= self.held_ts:
            self.held, self.held_ts = price, ts

    @property
    def price(self) -> Ticks | None:
        """What is in force; of one moment the leg is the newer, since positions follow with a lag."""
        if self.held_ts > self.ts:
            return self.held
        return max(self.live.values())[1] if self.live else None

    @property
    def latest(self) -> int:
        """Milliseconds of the newest word about it."""
        return max(self.ts, self.held_ts)


class _Guard(msgspec.Struct):
    """Protection of one instrument and what the engine was told of it."""

    stop: _Legs = msgspec.field(default_factory=_Legs)
    target: _Legs = msgspec.field(default_factory=_Legs)
    told: tuple[Ticks | None, Ticks | None] = (None, None)
    is_asserted: bool = False
    """Whether the row of a position was read: until then the engine may remember a stop of the run before that is gone."""


class _Listed(msgspec.Struct, frozen=True):
    """An instrument and how its numbers are read."""

    rules: Instrument
    grid: Grid

    @property
    def id(self) -> InstrumentId:
        return self.rules.id


class Translator:
    """Turns rows about one account into events. All methods that take rows return what is new in them.

    A row that cannot be read is as if it had not come, so that it is news when it is read again. It raises DataError
    after all others were taken in; `expire` tells what was new in those.
    Rows of other categories and of instruments that were not given are counted in `passed_over` by what they are.
    """

    def __init__(self, instruments: Mapping[InstrumentId, Instrument], venue: str) -> None:
        self.holdings: dict[InstrumentId, Holding] = {}
        self.coins: dict[str, Coin] = {}
        self.passed_over: Counter[str] = Counter()
        self._venue = venue
        self._listed: dict[str, _Listed] = {}
        self._orders: dict[ClientOrderId, _Order] = {}
        self._finished: OrderedDict[ClientOrderId, None] = OrderedDict()
        self._names: dict[str, ClientOrderId] = {}
        self._executions: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._early: list[tuple[int, ExecutionRow]] = []
        self._guards: dict[InstrumentId, _Guard] = {}
        self._untold: list[VenueEvent] = []
        for rules in instruments.values():
            self.list_instrument(rules)

    # --- what we know ourselves -------------------------------------------------------------------------------------

    def list_instrument(self, rules: Instrument) -> None:
        """Take a new instrument, or new rules for one."""
        if rules.id == instrument_id(self._venue, Category.LINEAR, rules.id.rsplit(":", 1)[-1]):
            self._listed[rules.id.rsplit(":", 1)[-1]] = _Listed(rules, grid_of(rules))

    def expect(self, order: NewOrder) -> None:
        """An order is about to be sent; of one that was sent before, what is known stays."""
        if order.client_order_id in self._orders:
            return
        self._orders[order.client_order_id] = _Order(
            client=order.client_order_id,
            instrument=order.instrument,
            is_limit=order.type is OrderType.LIMIT,
            price=order.price,
            size=order.size,
            is_conditional=order.trigger is not None,
        )

    def expect_terms(self, client: ClientOrderId, price: Ticks, size: Lots) -> None:
        """An amendment is about to be sent."""
        order = self._orders.get(client)
        if order is not None:
            order.asked = (price, size)

    def forget_terms(self, client: ClientOrderId) -> None:
        """An amendment was refused."""
        order = self._orders.get(client)
        if order is not None:
            order.asked = None

    def bind(self, client: ClientOrderId, venue: str, ts_recv: int) -> list[VenueEvent]:
        """An answer says what the exchange calls an order; executions that waited for it are told."""
        if venue and client:
            self._names[venue] = client
            order = self._orders.get(client)
            if order is not None and not order.venue:
                order.venue = VenueOrderId(venue)
        return self._release_early(ts_recv) if self._early else []

    # --- what is asked about ----------------------------------------------------------------------------------------

    def is_seen(self, client: ClientOrderId) -> bool:
        """Whether the exchange has spoken of an order: it exists or existed."""
        order = self._orders.get(client)
        return order is not None and order.is_seen

    def is_over(self, client: ClientOrderId) -> bool:
        """Whether an order has ended and all of it was told."""
        order = self._orders.get(client)
        return order is None or (order.is_over and order.booked >= order.told)

    def awaits_terms(self, client: ClientOrderId) -> bool:
        """Whether an amendment was asked for and neither came into force nor was given up."""
        order = self._orders.get(client)
        return order is not None and order.asked is not None

    def open_orders(self) -> list[tuple[InstrumentId, ClientOrderId]]:
        """Orders that the exchange has spoken of and that have not ended."""
        return [(o.instrument, o.client) for o in self._orders.values() if o.is_seen and not o.is_over]

    @property
    def waits_for_owners(self) -> bool:
        """Whether there are executions that were not told yet, as it is not known whose they are."""
        return bool(self._early)

    def lacking(self, since: int) -> list[tuple[InstrumentId, ClientOrderId]]:
        """Orders whose executions are fewer than they count, and were so at `since` already."""
        return [
            (order.instrument, order.client)
            for order in self._orders.values()
            if order.lacking_since is not None and order.lacking_since <= since
        ]

    def protection(self, instrument: InstrumentId) -> tuple[Ticks | None, Ticks | None]:
        """Stop and take-profit as last told."""
        guard = self._guards.get(instrument)
        return guard.told if guard is not None else (None, None)

    # --- what the exchange says -------------------------------------------------------------------------------------

    def frame(self, frame: PrivateFrame, ts_recv: int) -> list[VenueEvent]:
        """News of one message of a private topic; raises DataError where it is not what it should be."""
        match frame.topic.partition(".")[0]:
            case "order":
                return self.orders(read(list[OrderRow], frame.data, frame.topic), ts_recv)
            case "execution" if not frame.topic.startswith("execution.fast"):
                return self.executions(read(list[ExecutionRow], frame.data, frame.topic), ts_recv)
            case "position":
                return self.positions(read(list[PositionRow], frame.data, frame.topic), ts_recv)
            case "wallet":
                self.wallet(read(list[WalletRow], frame.data, frame.topic))
                return []
            case _:
                raise DataError(f"topic {frame.topic!r} was not subscribed to and is not understood")

    def orders(self, rows: Sequence[OrderRow], ts_recv: int) -> list[VenueEvent]:
        """News in order rows."""

        def take(row: OrderRow) -> list[VenueEvent]:
            listed = self._of(row.symbol, row.category, "order")
            if listed is None:
                return []
            if row.stop_order_type in _STOP_LEGS or row.stop_order_type in _TARGET_LEGS:
                return self._leg(row, listed, ts_recv)
            return self._order(row, listed, ts_recv)

        return self._each(rows, take)

    def executions(self, rows: Sequence[ExecutionRow], ts_recv: int) -> list[VenueEvent]:
        """News in execution rows, told in the order of their time; equal times keep the order of the rows."""

        def take(row: ExecutionRow) -> list[VenueEvent]:
            listed = self._of(row.symbol, row.category, f"execution {row.exec_type}")
            if listed is None or not self._is_new(row):
                return []
            try:
                return self._execution(row, listed, ts_recv)
            except DataError:
                del self._executions[row.symbol, row.exec_id]
                raise

        return self._each(sorted(rows, key=lambda row: millis(row.exec_time)), take)

    def positions(self, rows: Sequence[PositionRow], ts_recv: int, as_of: int = 0) -> list[VenueEvent]:
        """News in position rows; `as_of` (milliseconds) is when an answer was asked for: no row is older than that."""

        def take(row: PositionRow) -> list[VenueEvent]:
            listed = self._of(row.symbol, row.category, "position")
            if listed is None:
                return []
            lots = listed.grid.lots(row.size or "0")
            if row.position_idx == 0:
                return self._position(row, listed, lots, max(as_of, millis(row.updated_time)), ts_recv)
            if lots:
                raise DataError(f"{listed.id}: a position of hedge mode: switch the symbol to one-way mode")
            return []

        return self._each(rows, take)

    def wallet(self, rows: Sequence[WalletRow]) -> None:
        """Take over balances."""
        for row in rows:
            for coin in row.coin:
                self.coins[coin.coin] = _coin(coin)

    def expire(self, ts_recv: int) -> list[VenueEvent]:
        """Tell executions that have waited too long for an owner as what they are: fills of nobody we know.

        And tell what came with rows that could not be read.
        """
        untold, self._untold = self._untold, []
        if not self._early:
            return untold
        late = [row for since, row in self._early if ts_recv - since >= WAIT_FOR_ORDER]
        self._early = [(since, row) for since, row in self._early if ts_recv - since < WAIT_FOR_ORDER]
        return untold + [event for row in late for event in self._fill(row, self._listed[row.symbol], ts_recv)]

    def release(self, client: ClientOrderId, ts_recv: int) -> list[VenueEvent]:
        """Tell an order's end although executions that it counts were not found; they are booked should they come."""
        order = self._orders.get(client)
        if order is None:
            return []
        order.lacking_since = None
        end, order.end = order.end, None
        if end is None and order.is_over:
            end = _given_up(order, ts_recv)
        return [] if end is None else [end]

    def _each(self, rows: Iterable[Row], take: Callable[[Row], list[VenueEvent]]) -> list[VenueEvent]:
        events: list[VenueEvent] = []
        problem: DataError | None = None
        for row in rows:
            try:
                events += take(row)
            except DataError as error:
                problem = problem or error
        if problem is None:
            return events
        self._untold += events
        raise problem

    # --- orders -----------------------------------------------------------------------------------------------------

    def _order(self, row: OrderRow, listed: _Listed, ts_recv: int) -> list[VenueEvent]:
        client = ClientOrderId(row.order_link_id) or self._names.get(row.order_id)
        if client is None:
            self.passed_over["order without a client id"] += 1
            return []
        told = _checked(row, listed)
        order = self._orders.get(client) or self._adopt(row, client, listed)
        order.is_seen = True
        order.told = max(order.told, told)
        events = self.bind(client, row.order_id, ts_recv)
        if not order.is_over:
            events += self._merge(row, order, listed, ts_recv)
        self._note_lack(order, ts_recv)
        return events

    def _merge(self, row: OrderRow, order: _Order, listed: _Listed, ts_recv: int) -> list[VenueEvent]:
        status = row.order_status
        events: list[VenueEvent] = []
        if status in _LIVE and not order.is_accepted:
            order.is_accepted = True
            events.append(OrderAccepted(**_about(order, row, ts_recv)))
        if order.is_conditional and not order.is_triggered and status in ("New", "Triggered", "PartiallyFilled"):
            order.is_triggered = True
            events.append(OrderTriggered(**_about(order, row, ts_recv)))
        events += self._terms(row, order, listed, ts_recv)
        if status in _OVER:
            order.is_over = True
            self._finish(order.client)
            end = _end(row, order, listed, ts_recv)
            if end is not None and order.booked < order.told:
                order.end = end
            elif end is not None:
                events.append(end)
        return events

    def _terms(self, row: OrderRow, order: _Order, listed: _Listed, ts_recv: int) -> list[VenueEvent]:
        """An amendment, ours or the exchange's (price band, reduce-only), where the row is not older than the last."""
        updated = millis(row.updated_time)
        if updated < order.updated or row.order_status == "Rejected":
            return []
        order.updated = updated
        price = _ticks(listed.grid, row.price) if order.is_limit else order.price
        size = listed.grid.lots(row.qty or "0")
        if size == 0 or price is None:
            return []
        terms = (price, size)
        if terms == (order.price, order.size) and terms != order.asked:
            return []
        order.price, order.size = terms
        if terms == order.asked:
            order.asked = None
        return [OrderAmended(**_about(order, row, ts_recv), price=price, size=size)]

    def _adopt(self, row: OrderRow, client: ClientOrderId, listed: _Listed) -> _Order:
        order = self._orders[client] = _Order(
            client=client,
            instrument=listed.id,
            is_limit=row.order_type == "Limit",
            price=_ticks(listed.grid, row.price),
            size=listed.grid.lots(row.qty or "0"),
            is_conditional=row.order_status == "Untriggered",
        )
        return order

    def _note_lack(self, order: _Order, ts_recv: int) -> None:
        if order.booked >= order.told:
            order.lacking_since = None
        elif order.lacking_since is None:
            order.lacking_since = ts_recv

    def _finish(self, client: ClientOrderId) -> None:
        self._finished[client] = None
        if len(self._finished) > _REMEMBERED:
            forgotten = self._orders.pop(self._finished.popitem(last=False)[0], None)
            if forgotten is not None:
                self._names.pop(forgotten.venue, None)

    # --- executions -------------------------------------------------------------------------------------------------

    def _execution(self, row: ExecutionRow, listed: _Listed, ts_recv: int) -> list[VenueEvent]:
        events: list[VenueEvent] = []
        if row.exec_type == "Funding":
            events.append(_funding(row, listed, ts_recv))
        elif row.exec_type not in _MOVES:
            self.passed_over[f"execution {row.exec_type}"] += 1
        elif _origin(row) is FillOrigin.ORDER and self._client(row) is None and self._may_be_ours(listed.id):
            _filled(row, NOBODY, listed, ts_recv)
            self._early.append((ts_recv, row))
        else:
            events += self._fill(row, listed, ts_recv)
        return events

    def _is_new(self, row: ExecutionRow) -> bool:
        key = (row.symbol, row.exec_id)
        if key in self._executions:
            return False
        self._executions[key] = None
        if len(self._executions) > _REMEMBERED:
            self._executions.popitem(last=False)
        return True

    def _may_be_ours(self, instrument: InstrumentId) -> bool:
        """Whether there is an order of which we do not know yet what the exchange calls it."""
        return any(one.instrument == instrument and not (one.venue or one.is_over) for one in self._orders.values())

    def _client(self, row: ExecutionRow) -> ClientOrderId | None:
        return ClientOrderId(row.order_link_id) or self._names.get(row.order_id)

    def _release_early(self, ts_recv: int) -> list[VenueEvent]:
        known = [row for _, row in self._early if self._client(row) is not None]
        self._early = [(since, row) for since, row in self._early if self._client(row) is None]
        return [event for row in known for event in self._fill(row, self._listed[row.symbol], ts_recv)]

    def _fill(self, row: ExecutionRow, listed: _Listed, ts_recv: int) -> list[VenueEvent]:
        client = (self._client(row) or NOBODY) if _origin(row) is FillOrigin.ORDER else NOBODY
        fill = _filled(row, client, listed, ts_recv)
        order = self._orders.get(client)
        if order is None:
            return [fill]
        order.is_seen = order.is_accepted = True
        order.booked += fill.size
        order.told = max(order.told, order.booked)
        self._note_lack(order, ts_recv)
        if order.end is None or order.booked < order.told:
            return [fill]
        end, order.end = order.end, None
        return [fill, msgspec.structs.replace(end, ts_recv=ts_recv)]

    # --- protection -------------------------------------------------------------------------------------------------

    def _leg(self, row: OrderRow, listed: _Listed, ts_recv: int) -> list[VenueEvent]:
        """A leg that has triggered is spent, whatever it found to take."""
        if row.stop_order_type not in _WHOLE_LEGS:
            self.passed_over[f"leg {row.stop_order_type}"] += 1
            return []
        guard = self._guards.setdefault(listed.id, _Guard())
        legs = guard.stop if row.stop_order_type in _STOP_LEGS else guard.target
        price = listed.grid.ticks(row.trigger_price) if row.order_status == "Untriggered" else None
        legs.leg(row.order_id, price, millis(row.updated_time))
        why = "" if price is not None else f"{row.stop_order_type} {row.order_status} {row.cancel_type}".rstrip()
        return self._tell(listed.id, guard, ts_recv, why)

    def _position(self, row: PositionRow, listed: _Listed, lots: int, moment: int, ts_recv: int) -> list[VenueEvent]:
        known = self.holdings.get(listed.id)
        stop, target = _ticks(listed.grid, row.stop_loss), _ticks(listed.grid, row.take_profit)
        if known is None or moment * MILLISECOND >= known.ts:
            self.holdings[listed.id] = Holding(
                instrument=listed.id,
                lots=lots * _side(row.side, listed) if lots else 0,
                entry=number(row.avg_price or row.entry_price),
                leverage=number(row.leverage),
                stop_loss=stop,
                take_profit=target,
                ts=moment * MILLISECOND,
            )
        guard = self._guards.setdefault(listed.id, _Guard())
        guard.stop.hold(stop, moment)
        guard.target.hold(target, moment)
        is_first = bool(lots) and not guard.is_asserted
        guard.is_asserted = guard.is_asserted or is_first
        return self._tell(listed.id, guard, ts_recv, "" if lots else "no position", is_bare=is_first and stop is None)

    def _tell(
        self, instrument: InstrumentId, guard: _Guard, ts_recv: int, why: str, *, is_bare: bool = False
    ) -> list[VenueEvent]:
        now = (guard.stop.price, guard.target.price)
        if now == guard.told and not is_bare:
            return []
        guard.told = now
        latest = max(guard.stop.latest, guard.target.latest) * MILLISECOND
        return [
            ProtectionChanged(
                ts_event=latest, ts_recv=ts_recv, instrument=instrument, stop_loss=now[0], take_profit=now[1], why=why
            )
        ]

    def _of(self, symbol: str, category: str, what: str) -> _Listed | None:
        listed = self._listed.get(symbol) if category in ("", Category.LINEAR) else None
        if listed is None:
            self.passed_over[f"{what} of {category or Category.LINEAR} {symbol}"] += 1
        return listed


def _about(order: _Order, row: OrderRow, ts_recv: int) -> _About:
    return _About(
        ts_event=millis(row.updated_time) * MILLISECOND,
        ts_recv=ts_recv,
        instrument=order.instrument,
        client_order_id=order.client,
        venue_order_id=VenueOrderId(row.order_id),
    )


def _end(row: OrderRow, order: _Order, listed: _Listed, ts_recv: int) -> OrderCancelled | OrderRejected | None:
    """How an order ended, other than by being filled; rejected after executions is cancelled with fills."""
    why = _why(row)
    if row.order_status == "Filled":
        if order.told >= order.size:
            return None
        why = "reduced by the exchange to what was filled"
    elif row.order_status == "Rejected" and not listed.grid.lots(row.cum_exec_qty or "0"):
        return OrderRejected(**_about(order, row, ts_recv), why=why)
    return OrderCancelled(**_about(order, row, ts_recv), why=why)


def _given_up(order: _Order, ts_recv: int) -> OrderCancelled:
    """A filled order whose executions nobody tells: it lives no more, and a reading of the account shows what it did."""
    return OrderCancelled(
        ts_event=order.updated * MILLISECOND,
        ts_recv=ts_recv,
        instrument=order.instrument,
        client_order_id=order.client,
        venue_order_id=order.venue,
        why=f"filled with {order.told} lots, of which executions tell {order.booked}",
    )


def _why(row: OrderRow) -> str:
    reasons = (row.cancel_type if row.cancel_type != "UNKNOWN" else "", row.reject_reason)
    return ", ".join(reason for reason in reasons if reason and reason != "EC_NoError") or row.order_status


def _origin(row: ExecutionRow) -> FillOrigin:
    if row.exec_type in _FORCED:
        return _FORCED[row.exec_type]
    if row.create_type in _LIQUIDATION_MAKERS:
        return FillOrigin.LIQUIDATION
    if row.create_type in _ADL_MAKERS:
        return FillOrigin.ADL
    if row.stop_order_type in _STOP_LEGS or row.create_type in _STOP_MAKERS:
        return FillOrigin.STOP_LOSS
    if row.stop_order_type in _TARGET_LEGS or row.create_type in _TARGET_MAKERS:
        return FillOrigin.TAKE_PROFIT
    return FillOrigin.ORDER


def _checked(row: OrderRow, listed: _Listed) -> Lots:
    """Lots that an order row counts as executed; raises DataError where any of its numbers cannot be read."""
    millis(row.updated_time)
    listed.grid.lots(row.qty or "0")
    if row.order_type == "Limit":
        _ticks(listed.grid, row.price)
    return listed.grid.lots(row.cum_exec_qty or "0")


def _filled(row: ExecutionRow, client: ClientOrderId, listed: _Listed, ts_recv: int) -> OrderFilled:
    return OrderFilled(
        ts_event=millis(row.exec_time) * MILLISECOND,
        ts_recv=ts_recv,
        instrument=listed.id,
        client_order_id=client,
        venue_order_id=VenueOrderId(row.order_id),
        execution_id=ExecutionId(row.exec_id),
        side=_side(row.side, listed),
        price=_fill_price(row, listed),
        size=listed.grid.traded(row.exec_qty),
        fee=amount(row.exec_fee),
        is_maker=row.is_maker,
        origin=_origin(row),
    )


def _fill_price(row: ExecutionRow, listed: _Listed) -> Ticks:
    """Executions that no book made (a takeover at the bankruptcy price) may lie between two ticks."""
    if row.exec_type == "Trade":
        return listed.grid.ticks(row.exec_price)
    return max(Ticks(1), listed.rules.price_nearest(amount(row.exec_price)))


def _funding(row: ExecutionRow, listed: _Listed, ts_recv: int) -> FundingCharged:
    return FundingCharged(
        ts_event=millis(row.exec_time) * MILLISECOND,
        ts_recv=ts_recv,
        instrument=listed.id,
        execution_id=ExecutionId(row.exec_id),
        position=Lots(listed.grid.lots(row.exec_qty) * _side(row.side, listed)),
        rate=amount(row.fee_rate),
        mark=number(row.mark_price) or amount(row.exec_price),
        amount=amount(row.exec_fee),
    )


def _coin(row: CoinRow) -> Coin:
    balance = amount(row.wallet_balance)
    bound = amount(row.total_position_im) + amount(row.total_order_im) + amount(row.locked) + amount(row.bonus)
    return Coin(row.coin, balance, balance - bound, number(row.equity))


def _ticks(grid: Grid, text: str) -> Ticks | None:
    """Ticks of a price; None for the several ways of saying that there is none."""
    price = number(text)
    return grid.ticks(text) if price else None


def _side(text: str, listed: _Listed) -> Side:
    side = _SIDES.get(text)
    if side is None:
        raise DataError(f"{listed.id}: side should be Buy or Sell, got {text!r}")
    return side
