"""What the account holds: orders, positions and ledger, kept consistent by every message of the exchange."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Self

import msgspec

from stakan.core.domain.errors import ConfigError, DataError, InvariantViolated
from stakan.core.domain.events import (
    AnyOrderEvent,
    FillOrigin,
    FundingCharged,
    OrderFilled,
    ProtectionChanged,
    ProtectionRejected,
    VenueEvent,
)
from stakan.core.domain.facts import (
    AnyFact,
    Discrepancy,
    EquityMarked,
    FillBooked,
    FundingBooked,
    OrderUpdateIgnored,
)
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, PositionStatus, Purpose
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Intent
from stakan.core.domain.units import Nanos, Side
from stakan.core.portfolio.executions import Executions, Sighting
from stakan.core.portfolio.ledger import Ledger
from stakan.core.portfolio.money import total
from stakan.core.portfolio.orders import Order, Orders
from stakan.core.portfolio.position import Position
from stakan.core.portfolio.positions import Positions


class Portfolio(msgspec.Struct, kw_only=True):
    """The account's state as the engine knows it; plain data, to be snapshot and restored at any moment."""

    instruments: dict[InstrumentId, Instrument] = msgspec.field(default_factory=dict)
    orders: Orders = msgspec.field(default_factory=Orders)
    positions: Positions = msgspec.field(default_factory=Positions)
    ledger: Ledger
    executions: Executions = msgspec.field(default_factory=Executions)

    @classmethod
    def opened(cls, instruments: Iterable[Instrument], balance: Decimal, currency: str = "USDT") -> Self:
        """An empty portfolio with a balance; raises ConfigError where an instrument settles in another currency."""
        portfolio = cls(ledger=Ledger.opened(currency, balance))
        for rules in instruments:
            portfolio.set_rules(rules)
        return portfolio

    def set_rules(self, rules: Instrument) -> None:
        """Take a new instrument, or new rules for one.

        Raises ConfigError for another settlement currency, and DataError where lots would change their meaning under
        an open position.
        """
        if rules.settle != self.ledger.currency:
            raise ConfigError(f"{rules.id} settles in {rules.settle}, the ledger is in {self.ledger.currency}")
        old = self.instruments.get(rules.id)
        if old is not None and old.lot_size != rules.lot_size and rules.id in self.positions.live:
            raise DataError(
                f"{rules.id}: lot size {old.lot_size} became {rules.lot_size} under a position: close it first"
            )
        self.instruments[rules.id] = rules

    # --- asking -----------------------------------------------------------------------------------------------------

    def entry_refusal(self, order: NewOrder) -> Reason | None:
        """Why an entry may not be sent (decision 6): the instrument is another intent's, or spot would go short."""
        position = self.position(order.instrument)
        if position is not None and position.owner.intent != order.intent:
            return Reason.POSITION_EXISTS
        if any(other.request.intent != order.intent for other in self.orders.of(order.instrument, Purpose.ENTRY)):
            return Reason.ENTRY_IN_FLIGHT
        if order.side is Side.SELL and not self._rules(order.instrument).is_linear:
            held = position.size if position is not None else 0
            if self.orders.in_flight(order.instrument).sells + order.size > held:
                return Reason.SHORT_NOT_POSSIBLE
        return None

    def submit(self, order: NewOrder, now: int, intent: Intent | None = None, why: str = "") -> list[AnyFact]:
        """Take an order in before it is sent; `intent` gives an entry its strategy, `why` an exit its reason.

        Raises InvariantViolated where the id was used before or `entry_refusal` speaks against it.
        """
        if order.purpose is Purpose.ENTRY and (reason := self.entry_refusal(order)) is not None:
            raise InvariantViolated(
                f"entry {order.client_order_id} was sent although {reason}: ask entry_refusal first"
            )
        record = Order(
            request=order,
            strategy=intent.signal.strategy if intent is not None else "",
            reasons=intent.signal.reasons if intent is not None else (),
            why=why,
            price=order.price,
            size=order.size,
            submitted_ts=Nanos(now),
        )
        facts = self.orders.submit(record)
        if order.purpose is Purpose.ENTRY:
            return facts + self.positions.open_for(record, now)
        if self._exits_cover(order.instrument):
            facts += self.positions.closing(order.instrument, why or "exit submitted", now)
        return facts

    # --- what the exchange says -------------------------------------------------------------------------------------

    def apply(self, event: VenueEvent, mid: float = 0.0) -> list[AnyFact]:
        """Take a message in; `mid` (ticks, 0 without a book) is kept with fills to judge them.

        Raises DataError for impossible numbers and for instruments without rules.
        """
        match event:
            case FundingCharged():
                return self._charge_funding(event)
            case ProtectionChanged():
                return self.positions.protect(event)
            case ProtectionRejected():
                return []
            case OrderFilled():
                return self._book(event, mid)
            case _:
                facts = self.orders.apply(event)
                return facts + self._settle(event)

    def mark(self, marks: Mapping[InstrumentId, Decimal], now: int) -> EquityMarked:
        """Value open positions, and say what came of it. Raises DataError where a mark is needed and was never told."""
        self.value(marks, now)
        return EquityMarked(
            balance=self.ledger.balance,
            unrealised_pnl=self.ledger.unrealised_pnl,
            exposure=self.exposure(marks),
        )

    def value(self, marks: Mapping[InstrumentId, Decimal], now: int) -> None:
        """Value open positions; one without a new mark keeps its last. Raises DataError where none was ever told."""
        for position in self.positions.live.values():
            position.mark = marks.get(position.instrument, position.mark)
        self._mark_ledger(now)

    # --- reading ----------------------------------------------------------------------------------------------------

    def position(self, instrument: InstrumentId) -> Position | None:
        """The position of an instrument that is not closed."""
        return self.positions.live.get(instrument)

    def live_orders(self, instrument: InstrumentId) -> list[Order]:
        """Orders that may still be filled, oldest first."""
        return self.orders.of(instrument)

    def worst_lots(self, instrument: InstrumentId, more_buys: int = 0, more_sells: int = 0) -> int:
        """Largest size, long or short, that the position can reach by any fills of live orders, in any order.

        `more_buys` and `more_sells` are those of orders that are only thought of.
        """
        position = self.positions.live.get(instrument)
        size = position.signed_size if position is not None else 0
        flying = self.orders.in_flight(instrument)
        return max(abs(size), abs(size + flying.buys + more_buys), abs(size - flying.sells - more_sells))

    def busy_instruments(self) -> list[InstrumentId]:
        """Instruments with a position or live orders, each once, in a fixed order."""
        names = dict.fromkeys(self.positions.live)
        names.update(dict.fromkeys(order.request.instrument for order in self.orders.live.values()))
        return list(names)

    def exposure_of(self, instrument: InstrumentId, marks: Mapping[InstrumentId, Decimal]) -> Decimal:
        """Notional at mark, orders in flight counted as filled; raises DataError where a mark is needed and missing."""
        lots = self.worst_lots(instrument)
        if lots == 0:
            return Decimal(0)
        position = self.positions.live.get(instrument)
        mark = marks.get(instrument, position.mark if position is not None else None)
        if mark is None:
            raise DataError(f"{instrument}: no mark to value {lots} lots at: pass its mark, or the mid in its place")
        return self._rules(instrument).value_at(mark, lots)

    def exposure(self, marks: Mapping[InstrumentId, Decimal]) -> Decimal:
        """Sum over all busy instruments; raises DataError where a mark is needed and missing."""
        return total(self.exposure_of(name, marks) for name in self.busy_instruments())

    # --- booking ----------------------------------------------------------------------------------------------------

    def _book(self, fill: OrderFilled, mid: float) -> list[AnyFact]:
        _check_fill(fill)
        rules = self._rules(fill.instrument)
        order = self.orders.find(fill.client_order_id, fill.venue_order_id)
        sighting = self.executions.note(fill.instrument, fill.execution_id, Nanos(fill.ts_event))
        if sighting is not Sighting.NEW:
            return [_not_booked(fill, order, sighting)]
        facts: list[AnyFact] = []
        if order is not None:
            facts += self.orders.apply(fill)
        elif fill.origin is FillOrigin.ORDER:
            name = fill.client_order_id or fill.venue_order_id
            facts.append(_differs(fill.instrument, "order", "an order of ours", f"a fill of {name!r}, booked"))
        booked = self.positions.apply_fill(fill, order, rules, mid)
        for fact in booked:
            if isinstance(fact, FillBooked):
                self.ledger.book_fill(fact.realised_pnl, fact.fee, fill.ts_recv)
        self._mark_ledger(fill.ts_recv)
        return [*facts, *booked, *self._settle(fill)]

    def _charge_funding(self, event: FundingCharged) -> list[AnyFact]:
        if not event.amount.is_finite():
            raise DataError(
                f"funding {event.execution_id} of {event.instrument}: amount {event.amount} is not a number"
            )
        sighting = self.executions.note(event.instrument, event.execution_id, Nanos(event.ts_event))
        if sighting is not Sighting.NEW:
            found = f"{sighting} funding {event.execution_id}, not booked"
            return [_differs(event.instrument, "funding", "each payment once", found)]
        facts = self.positions.charge_funding(event)
        self.ledger.book_funding(event.amount, event.ts_recv)
        booked = FundingBooked(execution_id=event.execution_id, instrument=event.instrument, amount=event.amount)
        return [*facts, booked]

    def _settle(self, event: AnyOrderEvent) -> list[AnyFact]:
        """What the end of an order means for the position it was to open or to close."""
        position = self.positions.live.get(event.instrument)
        if position is None:
            return []
        now, cause = event.ts_recv, type(event).__name__
        if position.status is PositionStatus.OPENING and not self.orders.of(event.instrument, Purpose.ENTRY):
            return self.positions.entry_failed(event.instrument, cause, now)
        if position.status is PositionStatus.CLOSING and not self._exits_cover(event.instrument):
            return self.positions.close_failed(event.instrument, cause, now)
        return []

    def _exits_cover(self, instrument: InstrumentId) -> bool:
        position = self.positions.live.get(instrument)
        if position is None or position.size == 0:
            return False
        return sum(order.remaining for order in self.orders.of(instrument, Purpose.EXIT)) >= position.size

    def _mark_ledger(self, now: int) -> None:
        live = self.positions.live.values()
        self.ledger.mark(total(p.unrealised_pnl(self._rules(p.instrument)) for p in live), now)

    def _rules(self, instrument: InstrumentId) -> Instrument:
        rules = self.instruments.get(instrument)
        if rules is None:
            raise DataError(f"{instrument}: no rules (tick, lot, fees) are known: list the instrument before it trades")
        return rules


def _check_fill(fill: OrderFilled) -> None:
    if fill.size <= 0 or fill.price <= 0 or not fill.fee.is_finite():
        raise DataError(
            f"execution {fill.execution_id} of {fill.instrument}: {fill.size} lots at {fill.price} ticks with a fee "
            f"of {fill.fee} cannot be booked: correct the decoder"
        )


def _not_booked(fill: OrderFilled, order: Order | None, sighting: Sighting) -> AnyFact:
    if sighting is Sighting.DUPLICATE:
        return OrderUpdateIgnored(
            client_order_id=order.id if order is not None else fill.client_order_id,
            instrument=fill.instrument,
            status=order.status if order is not None else None,
            cause=f"duplicate execution {fill.execution_id}",
        )
    found = f"{fill.execution_id} of {fill.size} lots, not booked: it may be a duplicate"
    return _differs(fill.instrument, "execution age", "within what is remembered", found)


def _differs(instrument: InstrumentId, subject: str, expected: str, found: str) -> Discrepancy:
    return Discrepancy(instrument=instrument, subject=subject, expected=expected, found=found)
