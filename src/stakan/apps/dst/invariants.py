"""The eight invariants, checked against the exchange's own books after every call of the heap in which these changed.

| number | what must hold |
| --- | --- |
| 0 | the bot's process does not end by an error of its own |
| 1 | no position without a stop at the exchange for longer than its bound; an entry brings its stop in its own request |
| 2 | never two entries for one signal, nor under way in one instrument, and an id means one order for ever |
| 3 | exposure, open orders counted, within its limits |
| 4 | isolated margin and leverage asserted in this life before the first order of a symbol |
| 5 | after bad weather the bot's books are the exchange's |
| 6 | every order, transition and decision is recorded, orders durably before they arrive |
| 7 | after a halt, or a pause, nothing opens until it is released |
| 8 | balances change by fills, fees and funding to the last decimal, on both sides |
"""

from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec

from stakan.apps.dst.exchange import Host
from stakan.apps.dst.records import Records, Sent
from stakan.apps.exchange.orders import Order
from stakan.apps.exchange.rows import ExecutionRow
from stakan.core.domain.events import AnyEvent, FillOrigin, OperatorRequest
from stakan.core.domain.facts import (
    FillBooked,
    FundingBooked,
)
from stakan.core.domain.ids import ClientOrderId, split_instrument_id
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import Purpose
from stakan.core.domain.step import Step
from stakan.core.domain.units import SECOND
from stakan.core.engine import Engine

UNPROTECTED_NS = 3 * SECOND
"""How long a position may be without a stop while the bot lives and the exchange answers (decision 9) ..."""
AFTER_OUTAGE_NS = 5 * SECOND
"""... and where one of both was away meanwhile, the time of which does not count."""
MARGIN_NS = SECOND
"""What closing an unprotected position may take on top: the order's way there and back."""
MOVED = Decimal("1.02")
"""What is at stake may grow by so much with the market alone: limits are for what is added."""


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """An invariant that did not hold."""

    invariant: int
    at_s: float
    """Simulated seconds from the start."""
    what: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the bot was told to keep to."""

    leverage: Decimal
    max_notional: Decimal
    max_equity_share: Decimal


class _Naked(msgspec.Struct):
    """A position without a stop."""

    exposed_ns: int = 0
    was_interrupted: bool = False


class Auditor:
    """Looks at the exchange's books; the first breach is kept."""

    def __init__(
        self, host: Host, limits: Limits, now: Callable[[], int], reachable: Callable[[], bool], start: int
    ) -> None:
        self.breach: Breach | None = None
        self.records = Records(self.found)
        self.orders = 0
        """At the exchange, those of legs not counted."""
        self.traded: set[str] = set()
        self.executions = 0
        self._host = host
        self._limits = limits
        self._now = now
        self._reachable = reachable
        self._start = start
        self._seen = (0, 0, 0, 0)
        self._ordinal = 0
        self._closed = 0
        self._rows: dict[tuple[str, str], ExecutionRow] = {}
        self._balance = host.trading.balance
        self._naked: dict[str, _Naked] = {}
        self._looked_at = start
        self._by_intent: dict[str, Order] = {}
        self._by_signal: dict[tuple[str, str], str] = {}

    def found(self, invariant: int, what: str) -> None:
        """Something does not hold."""
        if self.breach is None:
            self.breach = Breach(invariant=invariant, at_s=round((self._now() - self._start) / SECOND, 6), what=what)

    # --- the bot's word ---------------------------------------------------------------------------------------------

    def observe(self, engine: Engine, event: AnyEvent, step: Step) -> None:
        """Take a step of the bot in."""
        if not (step.facts or step.commands or isinstance(event, OperatorRequest)):
            return
        bookings = self.records.observe(event, step)
        for booking in bookings:
            if isinstance(booking.fact, FillBooked):
                self._booked(booking.fact)
            else:
                self._funded(booking.fact)
        if bookings and not engine.state.portfolio.ledger.is_balanced:
            self.found(8, "the bot's balance is not its opening balance and what was booked since")

    def _booked(self, fact: FillBooked) -> None:
        """A booking is of an execution that there was, and of no more than it was; or mends what was never told."""
        if fact.origin is FillOrigin.REPAIR:
            return
        symbol = split_instrument_id(fact.instrument)[2]
        row = self._row(symbol, fact.execution_id)
        if row is None:
            self.found(8, f"{symbol}: the bot booked execution {fact.execution_id}, which the exchange does not have")
            return
        rules = self._host.trading.market.instruments[symbol]
        booked = rules.size(self.records.booked[fact.instrument, fact.execution_id])
        if booked > Decimal(row.exec_qty) or rules.price(fact.price) != Decimal(row.exec_price):
            self.found(
                8, f"{symbol}: execution {fact.execution_id} of {row.exec_qty} at {row.exec_price} is booked as {fact}"
            )

    def _funded(self, fact: FundingBooked) -> None:
        symbol = split_instrument_id(fact.instrument)[2]
        row = self._row(symbol, fact.execution_id)
        times = self.records.funded[fact.instrument, fact.execution_id]
        if row is None or Decimal(row.exec_fee) != fact.amount or times > 1:
            self.found(
                8, f"{symbol}: funding {fact.execution_id} of {fact.amount} is not what the exchange charged, once"
            )

    def _row(self, symbol: str, execution: str) -> ExecutionRow | None:
        self._read_executions()
        return self._rows.get((symbol, execution))

    def all_booked(self) -> None:
        """At the end: every execution of the exchange was booked as a whole, unless its effect had to be mended."""
        self._read_executions()
        records = self.records
        booked = {(split_instrument_id(key)[2], name): lots for (key, name), lots in records.booked.items()}
        funded = {(split_instrument_id(key)[2], name) for key, name in records.funded}
        for (symbol, name), row in self._rows.items():
            rules = self._host.trading.market.instruments[symbol]
            size = rules.size(booked.get((symbol, name), 0))
            is_booked = (symbol, name) in funded if row.exec_type == "Funding" else size == Decimal(row.exec_qty)
            if not (is_booked or records.mended.may_lack(row)):
                self.found(8, f"{symbol}: execution {name} of {row.exec_qty} was not booked: {size}")

    # --- the exchange's books ---------------------------------------------------------------------------------------

    def look(self) -> None:
        """After each call: check what may have changed."""
        pushed = self._host.local.pushed
        seen = (pushed["order"], pushed["execution"], pushed["position"], pushed["wallet"])
        if seen != self._seen:
            self._seen = seen
            self._read_orders()
            self._read_executions()
            self._check_positions()
            self._check_money()
        if self._naked:
            self._check_naked()
        self._looked_at = self._now()

    def _read_orders(self) -> None:
        found = sorted(self._new_orders(), key=lambda order: order.ordinal)
        for order in found:
            self._ordinal = order.ordinal
            if order.link_id:
                self.orders += 1
                self.traded.add(order.symbol)
                self._arrived(order)

    def _new_orders(self) -> Iterator[Order]:
        orders = self._host.trading.orders
        for order in reversed(orders.live.values()):
            if order.ordinal <= self._ordinal:
                break
            yield order
        closed, self._closed = len(orders.closed) - self._closed, len(orders.closed)
        for order in list(orders.closed)[len(orders.closed) - closed :]:
            if order.ordinal > self._ordinal:
                yield order

    def _arrived(self, order: Order) -> None:
        sent = self.records.sent.get(ClientOrderId(order.link_id))
        if sent is None:
            self.found(6, f"order {order.link_id} of {order.symbol} was never decided")
            return
        if not self.records.is_durable(sent):
            self.found(6, f"order {order.link_id} of {order.symbol} arrived before it was durable")
        if sent.is_forbidden and sent.life == self.records.life:
            self.found(7, f"entry {order.link_id} of {order.symbol} although nothing may be opened")
        if sent.order.purpose is Purpose.ENTRY:
            self._entered(order, sent)

    def _entered(self, order: Order, sent: Sent) -> None:
        # A stop that follows later is put in time by a bot that lives, and never by one that has just died.
        stop = order.attached.stop_loss if order.attached is not None else None
        if stop is None or stop != sent.order.stop_loss:
            self.found(
                1, f"entry {order.link_id} of {order.symbol} arrived with stop {stop} instead of {sent.order.stop_loss}"
            )
        other = self._by_intent.setdefault(sent.order.intent, order)
        if other is not order:
            self.found(
                2, f"{order.symbol}: {other.link_id} and {order.link_id} are both entries of {sent.order.intent}"
            )
        for one in self._host.trading.orders.of(order.symbol):
            if one is not order and one.link_id and not one.reduce_only:
                self.found(2, f"{order.symbol}: entry {order.link_id} arrived while {one.link_id} was under way")
        rules = self._host.trading.market.instruments[order.symbol]
        wanted = min(self._limits.leverage, rules.max_leverage)
        leverage = self._host.trading.venue.position(rules).leverage
        if leverage != wanted:
            self.found(4, f"entry {order.link_id} of {order.symbol} at leverage {leverage} instead of {wanted}")
        if sent.life == self.records.life and not self._host.is_asserted(order.symbol):
            self.found(4, f"entry {order.link_id} of {order.symbol} before margin mode and leverage were asserted")

    def _read_executions(self) -> None:
        history = self._host.trading.executions
        new = history.count - self.executions
        if not new:
            return
        self.executions = history.count
        for kept in list(history.rows)[-new:]:
            row = kept.row
            self._rows[row.symbol, row.exec_id] = row
            self._balance += Decimal(row.exec_pnl) - Decimal(row.exec_fee)

    def _check_money(self) -> None:
        trading = self._host.trading
        wallet = trading.venue.wallet().balance
        if not wallet == trading.balance == self._balance:
            self.found(
                8, f"the exchange's wallet is {wallet}, its log says {trading.balance}, its executions {self._balance}"
            )

    def _check_positions(self) -> None:
        trading = self._host.trading
        stake = Decimal(0)
        for symbol, rules in trading.market.instruments.items():
            view = trading.venue.position(rules)
            is_naked = bool(view.lots) and view.legs.stop_loss is None
            if not is_naked:
                self._naked.pop(symbol, None)
            elif symbol not in self._naked:
                self._naked[symbol] = _Naked()
            lots = self._worst(symbol, view.lots)
            if lots:
                stake += self._value(symbol, rules, lots)
        limit = min(self._limits.max_notional, self._limits.max_equity_share * trading.venue.wallet().equity)
        if stake > limit * MOVED:
            self.found(3, f"{stake} at stake, limit {limit}")

    def _worst(self, symbol: str, lots: int) -> int:
        """The largest position that open orders can make of it."""
        orders = [one for one in self._host.trading.orders.of(symbol) if one.link_id and not one.reduce_only]
        buys = sum(order.left for order in orders if order.side > 0)
        sells = sum(order.left for order in orders if order.side < 0)
        return max(abs(lots), abs(lots + buys), abs(lots - sells))

    def _value(self, symbol: str, rules: Instrument, lots: int) -> Decimal:
        quote = self._host.trading.market.quote(symbol)
        return rules.value_at(quote.mark or quote.last or Decimal(0), lots)

    def _check_naked(self) -> None:
        passed = self._now() - self._looked_at
        is_reachable = self._reachable()
        for symbol, naked in self._naked.items():
            if is_reachable:
                naked.exposed_ns += passed
            else:
                naked.was_interrupted = True
            bound = AFTER_OUTAGE_NS if naked.was_interrupted else UNPROTECTED_NS
            if naked.exposed_ns > bound + MARGIN_NS:
                self.found(1, f"{symbol} has no stop for {naked.exposed_ns / SECOND:.3f} s, bound {bound / SECOND:g} s")
