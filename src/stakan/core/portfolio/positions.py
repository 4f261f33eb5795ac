"""All open positions: one per instrument, owned by one intent; how fills, closes and funding change them."""

from decimal import Decimal

import msgspec

from stakan.core.domain.events import FillOrigin, FundingCharged, OrderFilled, ProtectionChanged
from stakan.core.domain.facts import AnyFact, Discrepancy, FillBooked, PositionTransitioned
from stakan.core.domain.ids import InstrumentId, PositionId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import PositionStatus, Purpose
from stakan.core.domain.units import Lots, Nanos, Side, Ticks
from stakan.core.portfolio.lifecycle import may_follow
from stakan.core.portfolio.money import ZERO, minus, plus, share
from stakan.core.portfolio.orders import Order
from stakan.core.portfolio.position import Owner, Position, PositionChange


class _Part(msgspec.Struct, frozen=True):
    """The closing or the opening part of a fill."""

    fill: OrderFilled
    rules: Instrument
    mid: float
    lots: Lots
    fee: Decimal

    @property
    def value(self) -> Decimal:
        return self.rules.notional(self.fill.price, self.lots)

    def booked(self, position: PositionId, realised: Decimal) -> FillBooked:
        fill = self.fill
        return FillBooked(
            execution_id=fill.execution_id,
            client_order_id=fill.client_order_id,
            instrument=fill.instrument,
            position=position,
            side=fill.side,
            price=fill.price,
            size=self.lots,
            fee=self.fee,
            realised_pnl=realised,
            is_maker=fill.is_maker,
            origin=fill.origin,
            ts_event=Nanos(fill.ts_event),
            mid_ticks=self.mid,
        )


class Positions(msgspec.Struct, kw_only=True):
    """Positions that are not closed, by instrument; closed ones live on in their `PositionClosed` facts."""

    live: dict[InstrumentId, Position] = msgspec.field(default_factory=dict)
    made: int = 0
    """How many there ever were: the next one's number."""
    outlived: dict[InstrumentId, tuple[Ticks | None, Ticks | None]] = msgspec.field(default_factory=dict)
    """Stop and target of closed positions, which the exchange takes away one after the other."""

    def open_for(self, order: Order, now: int) -> list[AnyFact]:
        """An entry was submitted: a position in Opening comes into being unless there is one already."""
        if order.request.instrument in self.live:
            return []
        return self._begin(order.request.instrument, order.request.side, owner_of(order), now)[1]

    def entry_failed(self, instrument: InstrumentId, cause: str, now: int) -> list[AnyFact]:
        """No entry is left and nothing was filled; anything else is left as it is."""
        position = self.live.get(instrument)
        if position is None or position.status is not PositionStatus.OPENING:
            return []
        return self._move(position, PositionStatus.CLOSED, f"nothing filled: {cause}", now)

    def closing(self, instrument: InstrumentId, cause: str, now: int) -> list[AnyFact]:
        """Orders that close all of it are on their way."""
        position = self.live.get(instrument)
        if position is None or position.status is not PositionStatus.OPEN:
            return []
        return self._move(position, PositionStatus.CLOSING, cause, now)

    def close_failed(self, instrument: InstrumentId, cause: str, now: int) -> list[AnyFact]:
        """The closing orders ended and something remains: Open again, and protected as before."""
        position = self.live.get(instrument)
        if position is None or position.status is not PositionStatus.CLOSING:
            return []
        return self._move(position, PositionStatus.OPEN, f"close incomplete: {cause}", now)

    def apply_fill(self, fill: OrderFilled, order: Order | None, rules: Instrument, mid: float) -> list[AnyFact]:
        """Book a fill: what lies against the position closes, what goes beyond opens (9.2: flip through zero)."""
        position = self.live.get(fill.instrument)
        closed = 0
        if position is not None and position.side is not fill.side:
            closed = min(fill.size, position.size)
        closing_fee = share(fill.fee, closed, fill.size)
        facts: list[AnyFact] = []
        if position is not None and closed:
            facts += self._reduce(
                position, _Part(fill, rules, mid, Lots(closed), closing_fee), _exit_cause(fill, order)
            )
        if closed < fill.size:
            rest = _Part(fill, rules, mid, Lots(fill.size - closed), minus(fill.fee, closing_fee))
            facts += self._enlarge(rest, order)
        return facts

    def charge_funding(self, event: FundingCharged) -> list[AnyFact]:
        """Funding of the position, where there is one; a different size at the exchange is reported."""
        position = self.live.get(event.instrument)
        if position is not None:
            position.funding = plus(position.funding, event.amount)
        ours = position.size if position is not None else 0
        if ours == abs(event.position):
            return []
        return [_differs(event.instrument, "position at funding", f"{ours} lots", f"{abs(event.position)} lots")]

    def protect(self, event: ProtectionChanged) -> list[AnyFact]:
        """Take over the exchange's stop and take-profit; older messages do not replace newer ones."""
        position = self.live.get(event.instrument)
        if position is None:
            return self._outlive(event)
        if event.ts_event >= position.protection_ts_event:
            position.stop_loss, position.take_profit = event.stop_loss, event.take_profit
            position.protection_ts_event = Nanos(event.ts_event)
        return []

    def _outlive(self, event: ProtectionChanged) -> list[AnyFact]:
        """Protection without a position: what is left of the last one's is on its way out, any other is reported."""
        stop, target = self.outlived.get(event.instrument, (None, None))
        left = (event.stop_loss, event.take_profit)
        if left == (None, None):
            self.outlived.pop(event.instrument, None)
        elif left[0] not in (None, stop) or left[1] not in (None, target):
            found = f"stop {left[0]}, target {left[1]} (ticks)"
            return [_differs(event.instrument, "protection", "no position", found)]
        return []

    def _reduce(self, position: Position, part: _Part, cause: str) -> list[AnyFact]:
        realised = position.reduce(part.lots, part.value, part.fee)
        facts: list[AnyFact] = [part.booked(position.id, realised)]
        if position.size == 0:
            now = Nanos(part.fill.ts_recv)
            facts += self._move(position, PositionStatus.CLOSED, cause, now)
            facts.append(position.story(part.rules, cause, now))
        return facts

    def _enlarge(self, part: _Part, order: Order | None) -> list[AnyFact]:
        fill = part.fill
        now = Nanos(fill.ts_recv)
        is_entry = order is not None and order.request.purpose is Purpose.ENTRY
        owner = owner_of(order) if order is not None and is_entry else Owner()
        facts: list[AnyFact] = []
        position = self.live.get(fill.instrument)
        if not is_entry or (position is not None and position.owner.intent != owner.intent):
            expected = position.owner.intent if position is not None else "no position"
            found = (
                f"execution {fill.execution_id}: {fill.side.name} {part.lots} lots for {owner.intent or fill.origin}"
            )
            facts.append(_differs(fill.instrument, "opening fill", expected, found))
        if fill.side is Side.SELL and not part.rules.is_linear:
            facts.append(_differs(fill.instrument, "spot holdings", "at least what is sold", f"{part.lots} lots short"))
            return [*facts, part.booked(PositionId(""), ZERO)]
        if position is None:
            position, begun = self._begin(fill.instrument, fill.side, owner, now)
            facts += begun
        position.side = fill.side  # of an empty one the first fill decides: a market maker asks on both sides
        position.add(part.lots, part.value, part.fee)
        if position.mark is None:
            # Worth what it was bought for until the market says otherwise: it counts for limits at once.
            position.mark = part.rules.price(fill.price)
        facts.append(part.booked(position.id, ZERO))
        if position.status is PositionStatus.OPENING:
            position.opened_ts = now
            facts += self._move(position, PositionStatus.OPEN, "first fill", now)
        return facts

    def _begin(self, instrument: InstrumentId, side: Side, owner: Owner, now: int) -> tuple[Position, list[AnyFact]]:
        self.made += 1
        name = PositionId(f"{instrument}#{self.made}")
        position = Position(id=name, instrument=instrument, owner=owner, side=side, created_ts=Nanos(now))
        self.live[instrument] = position
        return position, [_changed(position, None, "entry submitted" if owner.intent else "unexpected fill", now)]

    def _move(self, position: Position, after: PositionStatus, cause: str, now: int) -> list[AnyFact]:
        before = position.status
        if not may_follow(before, after):
            return [_differs(position.instrument, f"status of {position.id}", f"{before} stays", after)]
        position.status = after
        if after is PositionStatus.CLOSED:
            position.closed_ts = Nanos(now)
            self.outlived[position.instrument] = (position.stop_loss, position.take_profit)
            del self.live[position.instrument]
        return [_changed(position, before, cause, now)]


def owner_of(order: Order) -> Owner:
    """Whose position an entry makes."""
    return Owner(order.request.intent, order.strategy, order.reasons)


def _exit_cause(fill: OrderFilled, order: Order | None) -> str:
    if fill.origin is not FillOrigin.ORDER:
        return fill.origin.value
    if order is None:
        return "unknown order"
    return order.why or f"{order.request.purpose} order"


def _changed(position: Position, before: PositionStatus | None, cause: str, now: int) -> PositionTransitioned:
    position.history.append(PositionChange(position.status, Nanos(now), cause))
    return PositionTransitioned(
        position=position.id,
        instrument=position.instrument,
        intent=position.owner.intent,
        strategy=position.owner.strategy,
        before=before,
        after=position.status,
        side=position.side,
        size=position.size,
        cause=cause,
    )


def _differs(instrument: InstrumentId, subject: str, expected: str, found: str) -> Discrepancy:
    return Discrepancy(instrument=instrument, subject=subject, expected=expected, found=found)
