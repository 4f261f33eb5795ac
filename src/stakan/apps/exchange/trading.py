"""One account's trading: requests go to its matching core, what that says becomes records and pushes."""

import hashlib
from decimal import Decimal
from typing import Any

from stakan.adapters.exchanges.simulated.margin import protective_price
from stakan.adapters.exchanges.simulated.orders import Execution, Maker
from stakan.adapters.exchanges.simulated.refusals import CancelCause, ProtectionCause
from stakan.adapters.exchanges.simulated.requests import PlaceOrder, Request
from stakan.adapters.exchanges.simulated.views import PositionView, WalletView
from stakan.apps.exchange import legs
from stakan.apps.exchange.history import History
from stakan.apps.exchange.holdings import Closing, Holding, position_row
from stakan.apps.exchange.orders import (
    LEGS_OF_POSITION,
    SIDE_NAMES,
    UNKNOWN,
    Order,
    Orders,
    Status,
    StopKind,
    order_row,
)
from stakan.apps.exchange.outcomes import Ending, ending
from stakan.apps.exchange.replies import Push, Topic
from stakan.apps.exchange.rows import CoinRow, ExecutionRow, FastExecutionRow, PositionRow, TransactionRow, WalletRow
from stakan.apps.exchange.text import EMPTY, eight, price_text, size_text, trimmed
from stakan.apps.exchange.uncertain import Uncertain
from stakan.apps.exchange.venue import Published, Quote, Venue
from stakan.core.domain.commands import CancelOrder
from stakan.core.domain.errors import InvariantViolated
from stakan.core.domain.events import (
    FundingCharged,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderFilled,
    OrderTriggered,
    ProtectionChanged,
    VenueEvent,
)
from stakan.core.domain.ids import ClientOrderId, InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, Side
from stakan.core.portfolio.money import ZERO, minus, plus

KEPT = 2_000
"""Closed orders, executions, closed results and transactions that an account remembers, of each."""


class Trading:
    """Orders, positions and records of one account. Nanoseconds come in, milliseconds are told."""

    def __init__(self, uid: int, market: Published, venue: Venue, uncertain: Uncertain) -> None:
        self.uid = uid
        self.market = market
        self.venue = venue
        self.uncertain = uncertain
        self.orders = Orders(KEPT)
        self.holdings: dict[str, Holding] = {}
        self.executions: History[ExecutionRow] = History(KEPT)
        self.transactions: History[TransactionRow] = History(KEPT)
        self.closings: dict[str, Closing] = {}
        """By order id, in order of their first executions."""
        self.closing_count = 0
        self.ordinals = 0
        self.sequence = 0
        self.balance = venue.first_balance
        """Wallet after the last line of the transaction log."""
        self.moves_price = True
        """Whether a price beyond the band is moved to its edge; else the order is refused."""
        self.at_ms = 0
        self.opened: dict[str, int] = {}
        """Lots that orders with partial legs opened in this instant."""
        self.fired: list[Order] = []
        """Partial legs that were triggered in this instant."""
        self._symbols = {rules.id: symbol for symbol, rules in market.instruments.items()}
        self._pushes: list[Push] = []
        self._group: list[ExecutionRow] = []
        self._group_order: Order | None = None
        self._dirty: dict[str, Order] = {}
        self._moved: dict[str, None] = {}
        self._ends: dict[str, Ending] = {}
        self._told_wallet: tuple[Decimal, Decimal, Decimal] | None = None

    # --- for requests -----------------------------------------------------------------------------------------------

    def holding(self, symbol: str) -> Holding:
        """What is known of a symbol's position."""
        found = self.holdings.get(symbol)
        if found is None:
            found = self.holdings[symbol] = Holding(symbol=symbol)
        return found

    def next_id(self) -> tuple[int, str]:
        """Ordinal and id of a new order: derived, so that a repetition makes the same."""
        self.ordinals += 1
        return self.ordinals, _uuid(f"{self.uid}/order/{self.ordinals}")

    def advance(self, now: int) -> None:
        """Live through the market up to `now`."""
        while events := self.venue.advance(now):
            self._absorb(events, events[-1].ts_event)

    def enter(self, order: Order, request: PlaceOrder, now: int) -> None:
        """Send a new order; raises Refused where the core refuses it, and then it never was one."""
        self.at_ms = now // MILLISECOND
        events = self.venue.carry_out(request, now)
        refused = self.venue.refused
        if refused is None:
            self.orders.add(order)
            self._moved[order.symbol] = None
        self._absorb(events, now)
        if refused is not None:
            raise refused

    def carry_out(self, request: Request, symbol: str, now: int) -> None:
        """Send another request; raises Refused where the core refuses it."""
        events = self.venue.carry_out(request, now)
        refused = self.venue.refused
        if refused is None:
            self._moved[symbol] = None
        self._absorb(events, now)
        if refused is not None:
            raise refused

    def cancel(self, order: Order, how: Ending, now: int) -> None:
        """End a live order, whatever it is, in the way that is given; raises Refused where it is too late."""
        instrument = self.instrument(order.symbol)
        request: Request = CancelOrder(instrument=instrument, client_order_id=ClientOrderId(order.order_id))
        if order.stop_kind in LEGS_OF_POSITION:
            request = legs.removal(instrument, order.stop_kind)
        self._ends[order.order_id] = how
        try:
            self.carry_out(request, order.symbol, now)
        finally:
            self._ends.pop(order.order_id, None)

    def protective(self, symbol: str, side: Side) -> int:
        """Limit that a market order of now carries; 0 where no mark is known."""
        mark = self.market.quote(symbol).mark
        return 0 if mark is None else protective_price(self.market.instruments[symbol], side, mark)

    def refresh(self, order: Order) -> None:
        """Bring what moves without an event up to date: where a trailing stop stands."""
        if order.stop_kind is StopKind.TRAILING and not order.is_closed:
            legs.trail(order, self.venue.position(self.market.instruments[order.symbol]))

    def announce(self, order: Order, now: int) -> None:
        """An order was changed in what only the protocol knows of it."""
        self.at_ms = order.updated_ms = now // MILLISECOND
        self.tell(order)

    def instrument(self, symbol: str) -> InstrumentId:
        """Id of a listed symbol."""
        return self.market.instruments[symbol].id

    def last_text(self, symbol: str) -> str:
        """Last price as `lastPriceOnCreated` has it."""
        return _price(self.market.quote(symbol).last)

    def drain(self) -> list[Push]:
        """All that is to be told since the last call."""
        pushes, self._pushes = self._pushes, []
        return pushes

    # --- for legs ---------------------------------------------------------------------------------------------------

    def touch(self, order: Order) -> None:
        """Its row is other than what was told last; it is told when the instant is over."""
        self._dirty[order.order_id] = order

    def tell(self, order: Order) -> None:
        """Push the order's row now."""
        self._dirty.pop(order.order_id, None)
        self._push("order", order_row(order, self.market.instruments[order.symbol]))

    def end(self, order: Order, how: Ending) -> None:
        """An order is over without having been filled as a whole."""
        self._flush()
        order.end(*how, self.at_ms)
        self.orders.retire(order)
        self.tell(order)

    @property
    def filling(self) -> Order | None:
        """The order whose execution was told last in this instant."""
        return self._group_order

    def ending_of(self, order: Order) -> Ending | None:
        """How a request said that an order is to end, once."""
        return self._ends.pop(order.order_id, None)

    # --- events of the core -----------------------------------------------------------------------------------------

    def _absorb(self, events: list[VenueEvent], at: int) -> None:
        """Take over what happened at one instant, tell it, and do what follows from it."""
        self.at_ms = at // MILLISECOND
        for event in events:
            self._take(event)
        self._flush()
        self._tell_all()
        legs.follow(self, at)

    def _take(self, event: VenueEvent) -> None:
        match event:
            case OrderFilled():
                self._fill(event, self.venue.execution(event))
            case OrderAccepted():
                self._accept(self._order(event.client_order_id))
            case OrderTriggered():
                self._trigger(self._order(event.client_order_id))
            case OrderAmended():
                self._amend(event)
            case OrderCancelled():
                order = self._order(event.client_order_id)
                self.end(order, self.ending_of(order) or ending(order, CancelCause(event.why), self.uncertain))
                self._moved[order.symbol] = None
            case FundingCharged():
                self._fund(event)
            case ProtectionChanged():
                symbol = self._symbols[event.instrument]
                legs.changed(self, self.holding(symbol), ProtectionCause(event.why))
                self._moved[symbol] = None
            case _:  # refusals are the answer of the request that was refused
                return

    def _order(self, key: ClientOrderId) -> Order:
        order = self.orders.live.get(key)
        if order is None:
            raise InvariantViolated(f"account {self.uid}: the core tells of order {key!r}, which is not live")
        return order

    def _accept(self, order: Order) -> None:
        """It rests, waits, or is about to take."""
        self.touch(order)
        if self.uncertain.tells_new_before_outcome:
            self.tell(order)

    def _trigger(self, order: Order) -> None:
        order.status = Status.TRIGGERED
        order.updated_ms = self.at_ms
        if order.type == "Market":
            order.price = self.protective(order.symbol, order.side)
        if self.uncertain.tells_triggered:
            self.tell(order)
        self.touch(order)
        self._moved[order.symbol] = None
        legs.triggered(self, order)

    def _amend(self, event: OrderAmended) -> None:
        order = self._order(event.client_order_id)
        if order.type == "Limit":
            order.price = event.price
        order.size = event.size
        order.updated_ms = self.at_ms
        self.touch(order)

    # --- fills ------------------------------------------------------------------------------------------------------

    def _fill(self, event: OrderFilled, done: Execution) -> None:
        symbol = self._symbols[event.instrument]
        rules, holding = self.market.instruments[symbol], self.holding(symbol)
        order = self._filled_order(event, done, holding)
        self.sequence += 1
        order.price = done.order_price
        order.fill(done.value, event.size, event.fee, self.at_ms)
        if order is not self._group_order:
            self._flush()
            self._group_order = order
        row = self._execution(event, done, order, rules)
        self._group.append(row)
        self.executions.add(row, self.at_ms)
        holding.executed(self.sequence, self.at_ms, event.side * event.size, done.closed)
        kind = "LIQUIDATION" if done.maker is Maker.LIQUIDATION else "TRADE"
        self._log(row, holding.lots, kind=kind, cash_flow=done.realised, fee=event.fee)
        if done.closed:
            self._close(order, done, row, event)
        if order.attached is not None and order.attached.mode == "Partial":
            self.opened[order.order_id] = self.opened.get(order.order_id, 0) + event.size - done.closed
        self._moved[symbol] = None

    def _filled_order(self, event: OrderFilled, done: Execution, holding: Holding) -> Order:
        """The order of an execution: the owner's, a leg of the position, or the exchange's own."""
        if done.maker is Maker.OWNER:
            return self._order(event.client_order_id)
        if done.maker is Maker.LIQUIDATION:
            return self._take_over(event, done)
        leg = self.orders.live.get(holding.legs.get(legs.KIND_OF[done.maker], EMPTY))
        if leg is None:
            raise InvariantViolated(f"account {self.uid}: {done.maker} fills in {event.instrument} without a leg")
        leg.size, leg.price = done.order_size, done.order_price
        legs.fire(self, leg)
        return leg

    def _take_over(self, event: OrderFilled, done: Execution) -> Order:
        ordinal, order_id = self.next_id()
        order = Order(
            ordinal=ordinal,
            order_id=order_id,
            symbol=self._symbols[event.instrument],
            side=event.side,
            type="Limit",
            time_in_force="IOC",
            price=done.order_price,
            size=done.order_size,
            reduce_only=True,
            create_type="CreateByTakeOver_PassThrough",
            created_ms=self.at_ms,
            updated_ms=self.at_ms,
        )
        self.orders.add(order)
        return order

    def _execution(self, event: OrderFilled, done: Execution, order: Order, rules: Instrument) -> ExecutionRow:
        return ExecutionRow(
            symbol=order.symbol,
            order_id=order.order_id,
            order_link_id=order.link_id,
            side=SIDE_NAMES[event.side],
            order_price=price_text(rules, done.order_price),
            order_qty=size_text(rules, done.order_size),
            leaves_qty=size_text(rules, done.left),
            order_type=order.type,
            stop_order_type=order.stop_kind.value or UNKNOWN,
            create_type=order.create_type,
            exec_id=_uuid(f"{self.uid}/execution/{self.sequence}"),
            exec_price=price_text(rules, event.price),
            exec_qty=size_text(rules, event.size),
            exec_value=trimmed(done.value),
            exec_fee=trimmed(event.fee),
            fee_rate=trimmed(done.fee_rate),
            exec_pnl=trimmed(done.realised),
            exec_type="BustTrade" if done.maker is Maker.LIQUIDATION else "Trade",
            exec_time=str(self.at_ms),
            is_maker=event.is_maker,
            closed_size=size_text(rules, done.closed),
            mark_price=_price(done.mark),
            index_price=_price(done.index),
            seq=self.sequence,
        )

    def _close(self, order: Order, done: Execution, row: ExecutionRow, event: OrderFilled) -> None:
        """Add to what the closing order earned."""
        closing = self.closings.get(order.order_id)
        if closing is None:
            self.closing_count += 1
            closing = self.closings[order.order_id] = Closing(
                ordinal=self.closing_count,
                symbol=order.symbol,
                order_id=order.order_id,
                side=order.side,
                order_type=order.type,
                order_price=row.order_price,
                qty=row.order_qty,
                exec_type=row.exec_type,
                leverage=self.venue.position(self.market.instruments[order.symbol]).leverage,
                created_ms=order.created_ms,
                updated_ms=self.at_ms,
            )
            if len(self.closings) > KEPT:
                del self.closings[next(iter(self.closings))]
        closing.add(done, event.size, event.fee, self.at_ms)
        order.closed_pnl = closing.net

    def _fund(self, event: FundingCharged) -> None:
        symbol = self._symbols[event.instrument]
        rules, holding = self.market.instruments[symbol], self.holding(symbol)
        self._flush()
        self.sequence += 1
        holding.executed(self.sequence, self.at_ms)
        row = ExecutionRow(
            symbol=symbol,
            order_id=_uuid(f"{self.uid}/funding/{self.sequence}"),
            order_link_id=EMPTY,
            side=SIDE_NAMES[Side.BUY if event.position > 0 else Side.SELL],
            order_price="0",
            order_qty="0",
            leaves_qty="0",
            order_type=UNKNOWN,
            stop_order_type=UNKNOWN,
            create_type=EMPTY,
            exec_id=_uuid(f"{self.uid}/execution/{self.sequence}"),
            exec_price=trimmed(event.mark),
            exec_qty=size_text(rules, abs(event.position)),
            exec_value=trimmed(abs(rules.value_at(event.mark, event.position))),
            exec_fee=trimmed(event.amount),
            fee_rate=trimmed(event.rate),
            exec_pnl="0",
            exec_type="Funding",
            exec_time=str(self.at_ms),
            is_maker=False,
            closed_size="0",
            mark_price=trimmed(event.mark),
            index_price=_price(self.market.quote(symbol).index),
            seq=self.sequence,
        )
        self.executions.add(row, self.at_ms)
        self._push("execution", row)
        self._log(row, event.position, kind="SETTLEMENT", funding=event.amount.copy_negate())
        self._moved[symbol] = None

    def _log(
        self,
        row: ExecutionRow,
        held: int,
        *,
        kind: str,
        cash_flow: Decimal = ZERO,
        funding: Decimal | None = None,
        fee: Decimal = ZERO,
    ) -> None:
        """One line of the transaction log; the balance is carried from line to line."""
        change = minus(plus(cash_flow, funding or ZERO), fee)
        self.balance = plus(self.balance, change)
        line = TransactionRow(
            id=f"{self.uid}_{row.symbol}_{row.seq}",
            symbol=row.symbol,
            side=row.side,
            transaction_time=row.exec_time,
            type=kind,
            qty=row.exec_qty,
            size=trimmed(self.market.instruments[row.symbol].size(held)),
            trade_price=row.exec_price,
            funding=EMPTY if funding is None else trimmed(funding),
            fee=trimmed(fee),
            cash_flow=trimmed(cash_flow),
            change=trimmed(change),
            cash_balance=trimmed(self.balance),
            fee_rate=row.fee_rate,
            trade_id=row.exec_id,
            order_id=row.order_id,
            order_link_id=row.order_link_id,
        )
        self.transactions.add(line, self.at_ms)

    # --- telling ----------------------------------------------------------------------------------------------------

    def _push(self, topic: Topic, *rows: Any) -> None:
        self._pushes.append(Push(topic, rows, self.at_ms))

    def _flush(self) -> None:
        """Tell the executions of one order that followed each other, then the order."""
        order, rows = self._group_order, self._group
        if order is None:
            return
        self._group_order, self._group = None, []
        self._push("execution", *rows)
        fast = tuple(_fast(row) for row in rows if row.exec_type == "Trade")
        if fast:
            self._push("execution.fast", *fast)
        if order.is_closed:
            self.orders.retire(order)
        self.tell(order)

    def _tell_all(self) -> None:
        """Orders that changed, then positions, then the wallet."""
        moved, self._moved = self._moved, {}
        views = {symbol: self.venue.position(self.market.instruments[symbol]) for symbol in moved}
        for symbol, view in views.items():
            if view.lots:
                legs.sync(self, self.holding(symbol), view)
        for order in list(self._dirty.values()):
            if order.status is Status.TRIGGERED:
                order.status = Status.NEW
            self.tell(order)
        for symbol, view in views.items():
            self._push("position", self.position_row(symbol, view, is_pushed=True))
        if moved:
            self._tell_wallet()

    def _tell_wallet(self) -> None:
        wallet = self.venue.wallet()
        money = (wallet.balance, wallet.position_margin, wallet.order_margin)
        if money != self._told_wallet:
            self._told_wallet = money
            self._push("wallet", self._wallet_row(wallet))

    # --- rows -------------------------------------------------------------------------------------------------------

    def position_row(self, symbol: str, now: PositionView, *, is_pushed: bool) -> PositionRow:
        """The position of a symbol as Bybit writes it."""
        rules = self.market.instruments[symbol]
        mark = now.mark or _known(self.market.quote(symbol))
        return position_row(self.holding(symbol), rules, now, mark, self.venue.fees(rules).taker, is_pushed=is_pushed)

    def wallet_row(self) -> WalletRow:
        """The wallet as Bybit writes it; unrealised results at the marks of now."""
        return self._wallet_row(self.venue.wallet())

    def _wallet_row(self, wallet: WalletView) -> WalletRow:
        maintenance = sum(
            (
                self.venue.position(self.market.instruments[holding.symbol]).maintenance
                for holding in self.holdings.values()
                if holding.lots
            ),
            ZERO,
        )
        balance, equity = trimmed(wallet.balance), trimmed(wallet.equity)
        return WalletRow(
            total_equity=equity,
            total_wallet_balance=balance,
            total_perp_upl=eight(wallet.unrealised),
            coin=[
                CoinRow(
                    equity=equity,
                    usd_value=equity,
                    wallet_balance=balance,
                    total_order_im=eight(wallet.order_margin),
                    total_position_im=eight(wallet.position_margin),
                    total_position_mm=eight(maintenance),
                    unrealised_pnl=eight(wallet.unrealised),
                    cum_realised_pnl=trimmed(minus(wallet.balance, self.venue.first_balance)),
                )
            ],
        )


def _fast(row: ExecutionRow) -> FastExecutionRow:
    return FastExecutionRow(
        symbol=row.symbol,
        exec_id=row.exec_id,
        exec_price=row.exec_price,
        exec_qty=row.exec_qty,
        order_id=row.order_id,
        order_link_id=EMPTY if row.is_maker else row.order_link_id,
        side=row.side,
        is_maker=row.is_maker,
        exec_time=row.exec_time,
        seq=row.seq,
    )


def _known(quote: Quote) -> Decimal:
    """Mark, else the last price, else nothing."""
    return quote.mark or quote.last or ZERO


def _price(price: Decimal | None) -> str:
    return EMPTY if price is None else trimmed(price)


def _uuid(key: str) -> str:
    """An id of the usual shape from a key."""
    text = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
