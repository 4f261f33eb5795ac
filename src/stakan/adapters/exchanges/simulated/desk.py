"""Order entry of one instrument: checks, matching, fills, amendments, cancels."""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET

from stakan.adapters.exchanges.simulated import margin
from stakan.adapters.exchanges.simulated.account import Account, Trailing
from stakan.adapters.exchanges.simulated.checks import (
    check_filters,
    check_legs,
    check_money,
    check_reducible,
    check_trigger,
    limit_price,
    reserved,
)
from stakan.adapters.exchanges.simulated.matching import Fill, Matching
from stakan.adapters.exchanges.simulated.models import FeeRates
from stakan.adapters.exchanges.simulated.orders import Execution, LiveOrder, Maker, Outbox, Stage
from stakan.adapters.exchanges.simulated.reference import Reference
from stakan.adapters.exchanges.simulated.refusals import CancelCause, ProtectionCause, Refused
from stakan.adapters.exchanges.simulated.requests import ChangeOrder, Legs, SetTradingStop
from stakan.core.domain.commands import AmendOrder, CancelOrder
from stakan.core.domain.events import FillOrigin, OrderFilled
from stakan.core.domain.ids import ClientOrderId, VenueOrderId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, OrderType, TimeInForce, Trigger
from stakan.core.domain.units import Lots, Side, Ticks

NO_ORDER = ClientOrderId("")
ORIGINS = {
    Maker.OWNER: FillOrigin.ORDER,
    Maker.STOP_LOSS: FillOrigin.STOP_LOSS,
    Maker.TAKE_PROFIT: FillOrigin.TAKE_PROFIT,
    Maker.TRAILING_STOP: FillOrigin.STOP_LOSS,
    Maker.LIQUIDATION: FillOrigin.LIQUIDATION,
}


class _Own(msgspec.Struct):
    """An order that the exchange makes for itself; it never rests."""

    maker: Maker
    venue_order_id: VenueOrderId
    side: Side
    price: int
    size: int
    left: int = 0

    def __post_init__(self) -> None:
        self.left = self.size


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

    def submit(self, request: NewOrder, legs: Legs, ts: int) -> None:
        """A new order arrives; raises Refused."""
        order = self._checked(request, legs)
        self._keys[request.client_order_id] = order.key
        if request.trigger is not None:
            order.stage = Stage.UNTRIGGERED
            self.orders[order.key] = order
            self.outbox.accepted(order, ts)
        else:
            self._enter(order, ts)
            self.settle(ts)

    def cancel(self, command: CancelOrder, ts: int) -> None:
        """A cancel arrives; raises Refused when it is too late."""
        self.drop(self._found(command.client_order_id), CancelCause.OWNER, ts)
        self.settle(ts)

    def amend(self, command: AmendOrder | ChangeOrder, ts: int) -> None:
        """An amendment arrives: a new price or more size loses the place in the queue, less size keeps it.

        Raises Refused; then the order is what it was.
        """
        if isinstance(command, AmendOrder):
            command = ChangeOrder(
                instrument=command.instrument,
                client_order_id=command.client_order_id,
                price=command.price,
                size=command.size,
            )
        order = self._found(command.client_order_id)
        changed = self._checked_amendment(order, command)
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
                self.drop(order, CancelCause.REDUCE_ONLY, ts)
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
            self.outbox.cancelled(order, CancelCause.of(refused), ts)
            return
        self._enter(order, ts, is_triggered=True)
        self.settle(ts)

    def exit_at_market(self, maker: Maker, ts: int) -> None:
        """The exchange itself closes the position: a reduce-only order inside the protective band."""
        side, size = self.position.side.opposite, abs(self.position.lots)
        mark = self.reference.mark
        assert mark is not None, "a position without any price"
        limit = margin.protective_price(self.rules, side, mark)
        order = _Own(maker, VenueOrderId(f"sim-{self.outbox.next_key()}"), side, limit, size)
        for _, price, got in self.matching.take(side, limit, size):
            self._execute_own(order, price, got, ts)

    def take_over(self, price: Ticks, ts: int) -> None:
        """The exchange takes the whole position at a price."""
        side, size = self.position.side.opposite, abs(self.position.lots)
        order = _Own(Maker.LIQUIDATION, VenueOrderId(f"sim-{self.outbox.next_key()}"), side, price, size)
        self._execute_own(order, price, size, ts)

    # --- what follows -----------------------------------------------------------------------------------------------

    def settle(self, ts: int) -> None:
        """Bring what follows from orders and position up to date: protection, reduce-only sizes, reserved money."""
        if not self.position.lots:
            if self.position.is_protected:
                self.protect(Legs(), ProtectionCause.CLOSED, ts)
            self.position.legs = Legs()
        self._trim_reduce_only(ts)
        self._reserve()

    def protect(self, legs: Legs, cause: ProtectionCause, ts: int, trailing: Trailing | None = None) -> None:
        """Put, move or clear what the exchange does for the position, and say so."""
        self.position.legs = legs
        self.position.trailing = trailing
        self.outbox.protection_changed(self.rules.id, legs, cause, ts)

    def drop(self, order: LiveOrder, cause: CancelCause, ts: int) -> None:
        """Take a live order out and say why."""
        if self.orders.pop(order.key, None) is not None:
            self.matching.resize(order.key, 0)
            self.outbox.cancelled(order, cause, ts)

    @property
    def terms(self) -> margin.Terms:
        """Leverage and fee of this instrument."""
        return self.account.terms(self.rules, self.fees.taker)

    def restore(self, orders: Iterable[LiveOrder]) -> None:
        """Take over the orders of an earlier life; those in the book stand behind everything at their price."""
        for order in orders:
            self.orders[order.key] = order
            if order.stage is Stage.RESTING:
                self.matching.rest(order.key, order.side, order.price, order.left)
        self.account.bind(self.rules, self.terms)
        self._reserve()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _checked(self, request: NewOrder, legs: Legs) -> LiveOrder:
        """The order, if nothing speaks against it."""
        if request.client_order_id in self._keys:
            raise Refused(110072, "client order id was used before")
        price = self._price_in_force(request, request.price, is_waiting=request.trigger is not None)
        self._check_filters(request, price, request.size)
        if request.trigger is not None:
            check_trigger(request.trigger, self.reference)
        self._check_carried(request, legs)
        order = LiveOrder(self.outbox.next_key(), request, price, request.size, trigger=request.trigger, legs=legs)
        if request.trigger is None:
            self._check_entry(order)
        return order

    def _check_filters(self, request: NewOrder, price: int, size: int) -> None:
        is_opening = not request.reduce_only and size > self._reducible(request.side)
        check_filters(self.rules, request.type, size, self._dearest(request.side, price), is_opening)

    def _check_carried(self, request: NewOrder, legs: Legs) -> None:
        """Stop and take-profit of an order: only one that opens has them, and they lie on their sides."""
        if legs.is_empty:
            return
        if request.reduce_only:
            raise Refused(10001, "a reduce-only order cannot carry a stop")
        check_legs(self.reference, request.side, legs)

    def _price_in_force(self, request: NewOrder, price: Ticks | None, *, is_waiting: bool) -> Ticks:
        """The limit, moved to the edge of the band; an order that waits for its trigger meets the band only then."""
        inside = limit_price(self.rules, self.reference, request.side, request.type, price)
        return price if is_waiting and request.type is OrderType.LIMIT and price is not None else inside

    def _check_entry(self, order: LiveOrder) -> None:
        """Whether an order may enter the book now: with something to reduce, or with the money to open."""
        check_reducible(order.request, self._reducible(order.side))
        if order.request.reduce_only:
            return
        price = self._dearest(order.side, order.price)
        priced = order if price == order.price else msgspec.structs.replace(order, price=price)
        others = [other for other in self.resting() if other.key != order.key]
        check_money(self.account, self.rules, [*others, priced], self.terms)

    def _dearest(self, side: Side, limit: int) -> int:
        """Highest price at which an order can be filled now: a sell under the best bid begins to take there."""
        return limit if side is Side.BUY else max(limit, self.matching.best_bid)

    def _checked_amendment(self, order: LiveOrder, change: ChangeOrder) -> LiveOrder:
        """The order as it would be after the amendment."""
        request, price, size = order.request, order.price, order.size
        if change.size is not UNSET:
            size = change.size
            if size <= order.filled:
                raise Refused(110064, f"size {size} is not above the {order.filled} lots that are filled")
        if change.price is not UNSET:
            if request.type is OrderType.MARKET:
                raise Refused(10001, "the price of a market order cannot be amended")
            price = self._price_in_force(request, change.price, is_waiting=order.stage is Stage.UNTRIGGERED)
        if (price, size) != (order.price, order.size):
            self._check_filters(request, price, size)
        trigger, legs = self._amended_trigger(order, change), self._amended_legs(order, change)
        changed = msgspec.structs.replace(order, price=price, size=size, trigger=trigger, legs=legs)
        if order.stage is Stage.RESTING and (price, size) != (order.price, order.size):
            self._check_entry(changed)
        return changed

    def _amended_trigger(self, order: LiveOrder, change: ChangeOrder) -> Trigger | None:
        """Another trigger; only an order that still waits for it can have one."""
        trigger = order.trigger
        if change.trigger_price is UNSET and change.trigger_source is UNSET:
            return trigger
        if trigger is None or order.stage is not Stage.UNTRIGGERED:
            raise Refused(10001, "the order waits for no trigger")
        price = trigger.price if change.trigger_price is UNSET else change.trigger_price
        source = trigger.source if change.trigger_source is UNSET else change.trigger_source
        trigger = Trigger(price, trigger.direction, source)
        check_trigger(trigger, self.reference)
        return trigger

    def _amended_legs(self, order: LiveOrder, change: ChangeOrder) -> Legs:
        """Other stops; only as long as nothing is filled, as then they are the position's."""
        legs = merged(order.legs, change)
        if legs == order.legs:
            return legs
        if order.filled:
            raise Refused(110059, "the order is partly filled: its stop is the position's")
        self._check_carried(order.request, legs)
        return legs

    def _enter(self, order: LiveOrder, ts: int, *, is_amended: bool = False, is_triggered: bool = False) -> None:
        """Meet the book: take what may be taken, let the rest stay or go."""
        request, side = order.request, order.side
        if request.reduce_only:
            order.size = min(order.size, order.filled + self._reducible(side))
        crosses = self.matching.crosses(side, order.price)
        if request.time_in_force is TimeInForce.POST_ONLY and crosses:
            self.outbox.cancelled(order, CancelCause.POST_ONLY, ts)
            return
        wants_all = request.time_in_force is TimeInForce.FOK
        if wants_all and self.matching.available(side, order.price) < order.left:
            self.outbox.cancelled(order, CancelCause.FILL_OR_KILL, ts)
            return
        if not crosses and not order.may_rest:
            self.outbox.cancelled(order, CancelCause.NOTHING_TO_TAKE, ts)
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
            self.drop(order, CancelCause.REST_NOT_TAKEN, ts)

    def _fill(self, order: LiveOrder, price: int, size: int, is_maker: bool, ts: int) -> None:
        """One execution of an order, and what its first one brings along."""
        before = self.position.lots
        order.filled += size
        self._execute(order, price, size, ts, is_maker=is_maker)
        if not order.left:
            del self.orders[order.key]
        if before and self.position.lots * before <= 0 and self.position.is_protected:
            self.protect(Legs(), ProtectionCause.TURNED, ts)
        # A rest that fills after its first part was stopped out opens anew, and needs its stop anew.
        is_new = not order.is_attached or before * order.side <= 0
        if not order.legs.is_empty and is_new and self.position.lots * order.side > 0:
            order.is_attached = True
            self.protect(order.legs, ProtectionCause.ATTACHED, ts, self.position.trailing)

    def _execute(self, order: LiveOrder, price: int, size: int, ts: int, *, is_maker: bool) -> None:
        """An execution of an order of the owner's."""
        self._book(
            self._told(order.request.client_order_id, order.venue_order_id, order.side, price, size, ts, is_maker),
            Maker.OWNER,
            order.price,
            order.size,
            order.left,
        )

    def _execute_own(self, order: "_Own", price: int, size: int, ts: int) -> None:
        """An execution of an order that the exchange made."""
        order.left -= size
        told = self._told(NO_ORDER, order.venue_order_id, order.side, price, size, ts, False, ORIGINS[order.maker])
        self._book(told, order.maker, order.price, order.size, order.left)

    def _told(
        self,
        client_order_id: ClientOrderId,
        venue_order_id: VenueOrderId,
        side: Side,
        price: int,
        size: int,
        ts: int,
        is_maker: bool,
        origin: FillOrigin = FillOrigin.ORDER,
    ) -> OrderFilled:
        return OrderFilled(
            ts_event=ts,
            ts_recv=self.outbox.seen(OrderFilled, client_order_id or self.rules.id, ts),
            instrument=self.rules.id,
            client_order_id=client_order_id,
            venue_order_id=venue_order_id,
            execution_id=self.outbox.next_execution(),
            side=side,
            price=Ticks(price),
            size=Lots(size),
            fee=self.rules.notional(price, size) * self.fees.of(is_maker),
            is_maker=is_maker,
            origin=origin,
        )

    def _book(self, told: OrderFilled, maker: Maker, limit: int, size: int, left: int) -> None:
        """Book one execution, tell of it, and keep what the telling leaves out."""
        booked = self.account.fill(self.rules, told.side, told.price, told.size, told.fee, self.terms)
        self.outbox.add(told)
        self.outbox.executions[told.execution_id] = Execution(
            id=told.execution_id,
            maker=maker,
            order_price=limit,
            order_size=size,
            left=left,
            fee_rate=self.fees.of(told.is_maker),
            value=self.rules.notional(told.price, told.size),
            closed=booked.lots,
            entry_value=booked.entry_value,
            open_fee=booked.open_fee,
            realised=booked.realised,
            mark=self.reference.mark,
            index=self.reference.index,
        )

    def _reserve(self) -> None:
        money = reserved(self.rules, self.resting(), self.position.lots, self.terms)
        self.account.reserve(self.rules.id, money)

    def _trim_reduce_only(self, ts: int) -> None:
        """Reduce-only orders together never exceed the position; the youngest give way."""
        room = {side: self._reducible(side) for side in Side}
        for order in list(self.orders.values()):
            if not self._must_reduce(order) or order.stage is not Stage.RESTING:
                continue
            allowed = min(order.left, room[order.side])
            room[order.side] -= allowed
            if not allowed:
                self.drop(order, CancelCause.REDUCE_ONLY, ts)
            elif allowed < order.left:
                order.size = order.filled + allowed
                self.matching.resize(order.key, allowed)
                self.outbox.amended(order, ts)

    def _must_reduce(self, order: LiveOrder) -> bool:
        """Whether it may only shrink the position: reduce-only orders, and every sell of spot."""
        return order.request.reduce_only or (not self.rules.is_linear and order.side is Side.SELL)

    def resting(self) -> list[LiveOrder]:
        """Orders in the book, in order of entry."""
        return [order for order in self.orders.values() if order.stage is Stage.RESTING]

    def _reducible(self, side: Side) -> int:
        """Lots of the position that an order of this side would close."""
        return max(0, -self.position.lots * side)

    def find(self, client_order_id: ClientOrderId) -> LiveOrder | None:
        """A live order; None where there is none of this id (any more)."""
        return self.orders.get(self._keys.get(client_order_id, 0))

    def _found(self, client_order_id: ClientOrderId) -> LiveOrder:
        order = self.find(client_order_id)
        if order is None:
            raise Refused(110001, "order does not exist or is too late to change")
        return order


def merged(legs: Legs, change: ChangeOrder | SetTradingStop) -> Legs:
    """Legs with what a request names of them."""
    return Legs(
        legs.stop_loss if change.stop_loss is UNSET else change.stop_loss,
        legs.take_profit if change.take_profit is UNSET else change.take_profit,
        legs.stop_source if change.stop_source is UNSET else change.stop_source,
        legs.take_source if change.take_source is UNSET else change.take_source,
    )
