"""Order entry of one instrument: checks, matching, fills, amendments, cancels."""

from collections.abc import Iterable

from stakan.adapters.exchanges.simulated import margin
from stakan.adapters.exchanges.simulated.account import Account
from stakan.adapters.exchanges.simulated.checks import (
    Refused,
    check_filters,
    check_money,
    check_protection,
    check_reducible,
    check_trigger,
    limit_price,
    reserved,
)
from stakan.adapters.exchanges.simulated.matching import Fill, Matching
from stakan.adapters.exchanges.simulated.models import FeeRates
from stakan.adapters.exchanges.simulated.orders import LiveOrder, Outbox, Stage
from stakan.adapters.exchanges.simulated.reference import Reference
from stakan.core.domain.commands import AmendOrder, CancelOrder
from stakan.core.domain.events import FillOrigin, OrderFilled, ProtectionChanged
from stakan.core.domain.ids import ClientOrderId, VenueOrderId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, OrderType, TimeInForce, TriggerSource
from stakan.core.domain.units import Lots, Side, Ticks

NO_ORDER = ClientOrderId("")
GONE = "110001 order does not exist or is too late to change"


class Desk:
    """One owner's orders in one instrument."""

    def __init__(
        self,
        rules: Instrument,
        fees: FeeRates,
        matching: Matching,
        reference: Reference,
        account: Account,
        outbox: Outbox,
    ) -> None:
        self.rules = rules
        self.fees = fees
        self.matching = matching
        self.reference = reference
        self.account = account
        self.outbox = outbox
        self.position = account.position(rules.id)
        self.orders: dict[int, LiveOrder] = {}
        """Live orders by key, in order of entry."""
        self._keys = account.order_keys

    # --- commands ---------------------------------------------------------------------------------------------------

    def submit(self, request: NewOrder, ts: int) -> None:
        """A new order arrives."""
        try:
            order = self._checked(request)
        except Refused as refused:
            self.outbox.rejected(request, str(refused), ts)
            return
        self._keys[request.client_order_id] = order.key
        if request.trigger is not None:
            order.stage = Stage.UNTRIGGERED
            self.orders[order.key] = order
            self.outbox.accepted(order, ts)
        else:
            self._enter(order, ts)
            self.settle(ts)

    def cancel(self, command: CancelOrder, ts: int) -> None:
        """A cancel arrives; too late is said, not ignored."""
        order = self._find(command.client_order_id)
        if order is None:
            self.outbox.change_refused(command, GONE, ts)
            return
        self.drop(order, "cancelled by its owner", ts)
        self.settle(ts)

    def amend(self, command: AmendOrder, ts: int) -> None:
        """An amendment arrives: a new price or more size loses the place in the queue, less size keeps it."""
        order = self._find(command.client_order_id)
        if order is None:
            self.outbox.change_refused(command, GONE, ts)
            return
        try:
            changed = self._checked_amendment(order, command)
        except Refused as refused:
            self.outbox.change_refused(command, str(refused), ts)
            return
        keeps_place = changed.price == order.price and changed.size <= order.size
        self.orders[order.key] = changed
        if order.stage is Stage.UNTRIGGERED:
            self.outbox.amended(changed, ts)
        elif keeps_place:
            self.matching.resize(order.key, changed.left)
            self.outbox.amended(changed, ts)
        else:
            self.matching.resize(order.key, 0)
            del self.orders[order.key]
            self._enter(changed, ts, is_amended=True)
        self.settle(ts)

    # --- fills ------------------------------------------------------------------------------------------------------

    def maker_fills(self, fills: Iterable[Fill], ts: int) -> None:
        """The market reached resting orders. What a reduce-only order got beyond the position never happened."""
        for key, price, size in fills:
            order = self.orders[key]
            counted = min(size, self._reducible(order.side)) if self._must_reduce(order) else size
            if counted:
                self._fill(order, price, counted, True, ts)
            if counted < size:
                self.drop(order, "reduce-only without a position", ts)
        self.settle(ts)

    def trigger(self, order: LiveOrder, ts: int) -> None:
        """A conditional order has met its trigger: it enters now, if it still may."""
        del self.orders[order.key]
        self.outbox.triggered(order, ts)
        request = order.request
        order.stage = Stage.RESTING
        try:
            price = order.price if request.type is OrderType.LIMIT else None
            order.price = limit_price(self.rules, self.reference, order.side, request.type, price)
            self._check_entry(order)
        except Refused as refused:
            self.outbox.cancelled(order, str(refused), ts)
            return
        self._enter(order, ts, is_triggered=True)
        self.settle(ts)

    def exit_at_market(self, origin: FillOrigin, ts: int) -> None:
        """The exchange itself closes the position: a reduce-only order inside the protective band."""
        side = self.position.side.opposite
        mark = self.reference.mark
        assert mark is not None, "a position without any price"
        limit = margin.protective_price(self.rules, side, mark)
        venue_order_id = VenueOrderId(f"sim-{self.outbox.next_key()}")
        for _, price, size in self.matching.take(side, limit, abs(self.position.lots)):
            self.execute(NO_ORDER, venue_order_id, side, price, size, ts, origin)

    def execute(
        self,
        client_order_id: ClientOrderId,
        venue_order_id: VenueOrderId,
        side: Side,
        price: int,
        size: int,
        ts: int,
        origin: FillOrigin = FillOrigin.ORDER,
        is_maker: bool = False,
    ) -> None:
        """Book one execution and tell of it."""
        fee = self.rules.notional(price, size) * self.fees.of(is_maker)
        self.account.fill(self.rules, side, price, size, fee, self.terms)
        self.outbox.add(
            OrderFilled(
                ts_event=ts,
                ts_recv=self.outbox.seen(ts),
                instrument=self.rules.id,
                client_order_id=client_order_id,
                venue_order_id=venue_order_id,
                execution_id=self.outbox.next_execution(),
                side=side,
                price=Ticks(price),
                size=Lots(size),
                fee=fee,
                is_maker=is_maker,
                origin=origin,
            )
        )

    # --- what follows -----------------------------------------------------------------------------------------------

    def settle(self, ts: int) -> None:
        """Bring what follows from orders and position up to date: protection, reduce-only sizes, reserved money."""
        if not self.position.lots:
            if self.position.is_protected:
                self.protect(None, None, "position closed", ts)
            self.position.trigger_source = TriggerSource.MARK
        self._trim_reduce_only(ts)
        money = reserved(self.rules, self._resting(), self.position.lots, self.terms)
        self.account.reserve(self.rules.id, money)

    def protect(self, stop_loss: Ticks | None, take_profit: Ticks | None, why: str, ts: int) -> None:
        """Put, move or clear the position's stop and take-profit, and say so."""
        self.position.stop_loss = stop_loss
        self.position.take_profit = take_profit
        self.outbox.add(
            ProtectionChanged(
                ts_event=ts,
                ts_recv=self.outbox.seen(ts),
                instrument=self.rules.id,
                stop_loss=stop_loss,
                take_profit=take_profit,
                why=why,
            )
        )

    def drop(self, order: LiveOrder, why: str, ts: int) -> None:
        """Take a live order out and say why."""
        if self.orders.pop(order.key, None) is not None:
            self.matching.resize(order.key, 0)
            self.outbox.cancelled(order, why, ts)

    @property
    def terms(self) -> margin.Terms:
        """Leverage and fee of this instrument."""
        return self.account.terms(self.rules, self.fees.taker)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _checked(self, request: NewOrder) -> LiveOrder:
        """The order, if nothing speaks against it."""
        if request.client_order_id in self._keys:
            raise Refused("110072 client order id was used before")
        price = self._price_in_force(request, request.price, is_waiting=request.trigger is not None)
        is_opening = not request.reduce_only and request.size > self._reducible(request.side)
        check_filters(self.rules, request, price, is_opening)
        check_trigger(request, self.reference)
        if request.stop_loss is not None or request.take_profit is not None:
            if request.reduce_only:
                raise Refused("10001 a reduce-only order cannot carry a stop")
            check_protection(
                self.reference, request.side, request.stop_loss, request.take_profit, request.trigger_source
            )
        order = LiveOrder(self.outbox.next_key(), request, price, request.size)
        if request.trigger is None:
            self._check_entry(order)
        return order

    def _price_in_force(self, request: NewOrder, price: Ticks | None, *, is_waiting: bool) -> Ticks:
        """The limit, moved to the edge of the band; an order that waits for its trigger meets the band only then."""
        inside = limit_price(self.rules, self.reference, request.side, request.type, price)
        return price if is_waiting and request.type is OrderType.LIMIT and price is not None else inside

    def _check_entry(self, order: LiveOrder) -> None:
        """Whether an order may enter the book now: with something to reduce, or with the money to open."""
        check_reducible(order.request, self._reducible(order.side))
        if not order.request.reduce_only:
            check_money(self.account, self.rules, [*self._resting(), order], self.terms)

    def _checked_amendment(self, order: LiveOrder, command: AmendOrder) -> LiveOrder:
        """The order as it would be after the amendment."""
        request = order.request
        if command.size <= order.filled:
            raise Refused(f"10001 size {command.size} is not above the {order.filled} lots that are filled")
        if command.size > self.rules.max_limit_size:
            raise Refused(f"10001 size {command.size} lots is above the maximum {self.rules.max_limit_size}")
        if request.type is OrderType.MARKET:
            raise Refused("10001 a market order cannot be amended")
        price = self._price_in_force(request, command.price, is_waiting=order.stage is Stage.UNTRIGGERED)
        changed = LiveOrder(order.key, request, price, command.size, order.filled, order.stage, order.is_attached)
        if not request.reduce_only and order.stage is Stage.RESTING:
            others = [other for other in self._resting() if other.key != order.key]
            check_money(self.account, self.rules, [*others, changed], self.terms)
        return changed

    def _enter(self, order: LiveOrder, ts: int, *, is_amended: bool = False, is_triggered: bool = False) -> None:
        """Meet the book: take what may be taken, let the rest stay or go."""
        request, side = order.request, order.side
        if request.reduce_only:
            order.size = min(order.size, order.filled + self._reducible(side))
        crosses = self.matching.crosses(side, order.price)
        if request.time_in_force is TimeInForce.POST_ONLY and crosses:
            self.outbox.cancelled(order, "post-only would have taken", ts)
            return
        wants_all = request.time_in_force is TimeInForce.FOK
        if wants_all and self.matching.available(side, order.price) < order.left:
            self.outbox.cancelled(order, "fill-or-kill could not be filled", ts)
            return
        if not crosses and not order.may_rest:
            self.outbox.cancelled(order, "nothing to take inside the limit", ts)
            return
        if not (is_amended or is_triggered):
            self.outbox.accepted(order, ts)
        asked = request.price if request.type is OrderType.LIMIT else order.price
        if is_amended or order.price != asked or order.size != request.size:
            self.outbox.amended(order, ts)
        self.orders[order.key] = order
        if crosses:
            for _, price, size in self.matching.take(side, order.price, order.left):
                self._fill(order, price, size, False, ts)
        if order.left and order.may_rest:
            self.matching.rest(order.key, side, order.price, order.left)
        elif order.left:
            self.drop(order, "the rest could not be filled at once", ts)

    def _fill(self, order: LiveOrder, price: int, size: int, is_maker: bool, ts: int) -> None:
        """One execution of an order, and what its first one brings along."""
        request = order.request
        before = self.position.lots
        order.filled += size
        self.execute(request.client_order_id, order.venue_order_id, order.side, price, size, ts, is_maker=is_maker)
        if not order.left:
            del self.orders[order.key]
        if before and self.position.lots * before <= 0 and self.position.is_protected:
            self.protect(None, None, "position closed or turned over", ts)
        carries = request.stop_loss is not None or request.take_profit is not None
        # A rest that fills after its first part was stopped out opens anew, and needs its stop anew.
        is_new = not order.is_attached or before * order.side <= 0
        if carries and is_new and self.position.lots * order.side > 0:
            order.is_attached = True
            self.position.trigger_source = request.trigger_source
            self.protect(request.stop_loss, request.take_profit, "attached to the entry", ts)

    def _trim_reduce_only(self, ts: int) -> None:
        """Reduce-only orders together never exceed the position; the youngest give way."""
        room = {side: self._reducible(side) for side in Side}
        for order in list(self.orders.values()):
            if not self._must_reduce(order) or order.stage is not Stage.RESTING:
                continue
            allowed = min(order.left, room[order.side])
            room[order.side] -= allowed
            if not allowed:
                self.drop(order, "reduce-only without a position", ts)
            elif allowed < order.left:
                order.size = order.filled + allowed
                self.matching.resize(order.key, allowed)
                self.outbox.amended(order, ts)

    def _must_reduce(self, order: LiveOrder) -> bool:
        """Whether it may only shrink the position: reduce-only orders, and every sell of spot."""
        return order.request.reduce_only or (not self.rules.is_linear and order.side is Side.SELL)

    def _resting(self) -> list[LiveOrder]:
        return [order for order in self.orders.values() if order.stage is Stage.RESTING]

    def _reducible(self, side: Side) -> int:
        """Lots of the position that an order of this side would close."""
        return max(0, -self.position.lots * side)

    def _find(self, client_order_id: ClientOrderId) -> LiveOrder | None:
        return self.orders.get(self._keys.get(client_order_id, 0))
