"""Stops and take-profits as the orders that Bybit shows of them.

Those of the whole position are kept by the matching core with the position and are only shown here. Those of a part
of it are conditional reduce-only orders of the core.
"""

from typing import TYPE_CHECKING

from stakan.adapters.exchanges.simulated.orders import Maker
from stakan.adapters.exchanges.simulated.refusals import ProtectionCause
from stakan.adapters.exchanges.simulated.requests import Legs, PlaceOrder, SetTradingStop
from stakan.adapters.exchanges.simulated.views import PositionView
from stakan.apps.exchange.holdings import Holding
from stakan.apps.exchange.orders import PARTIAL_LEGS, UNKNOWN, Attached, Order, Status, StopKind
from stakan.apps.exchange.outcomes import Ending, cleared_ending, user_ending
from stakan.apps.exchange.refusal import Refused
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.orders import (
    NewOrder,
    OrderType,
    Purpose,
    TimeInForce,
    Trigger,
    TriggerDirection,
    TriggerSource,
)
from stakan.core.domain.units import Lots, Side, Ticks

if TYPE_CHECKING:
    from stakan.apps.exchange.trading import Trading

SOURCES = {
    "LastPrice": TriggerSource.LAST,
    "IndexPrice": TriggerSource.INDEX,
    "MarkPrice": TriggerSource.MARK,
}
_NAMES = {source: name for name, source in SOURCES.items()}
KIND_OF = {
    Maker.STOP_LOSS: StopKind.STOP_LOSS,
    Maker.TAKE_PROFIT: StopKind.TAKE_PROFIT,
    Maker.TRAILING_STOP: StopKind.TRAILING,
}
_FIRED = {
    ProtectionCause.STOP_LOSS: StopKind.STOP_LOSS,
    ProtectionCause.TAKE_PROFIT: StopKind.TAKE_PROFIT,
    ProtectionCause.TRAILING_STOP: StopKind.TRAILING,
}
_OTHER_FIRST = {
    StopKind.PARTIAL_STOP_LOSS: "CancelByOCOTpCanceledBySlTriggered",
    StopKind.PARTIAL_TAKE_PROFIT: "CancelByOCOSlCanceledByTpTriggered",
}
_REACHED = frozenset((110092, 110093))
"""Codes of a trigger price that the market has passed already."""

Wanted = tuple[int, str, int]
"""Price in ticks, what it watches, triggerDirection."""


def removal(instrument: InstrumentId, kind: StopKind) -> SetTradingStop:
    """The request that takes a leg of the position away."""
    if kind is StopKind.STOP_LOSS:
        return SetTradingStop(instrument=instrument, stop_loss=None)
    if kind is StopKind.TAKE_PROFIT:
        return SetTradingStop(instrument=instrument, take_profit=None)
    return SetTradingStop(instrument=instrument, trailing=None)


# --- legs of the whole position -------------------------------------------------------------------------------------


def changed(trading: "Trading", holding: Holding, cause: ProtectionCause) -> None:
    """The core tells of another protection; what stands in the end is taken over by `sync`.

    Legs that an order brought are shown at once: where the price has passed them already they fire next.
    """
    if cause is ProtectionCause.ATTACHED:
        if trading.filling is not None and trading.filling.attached is not None:
            _bring(trading, holding, trading.filling.attached)
    elif cause in (ProtectionCause.CLOSED, ProtectionCause.TURNED):
        _clear(trading, holding)
    elif cause in _FIRED:
        leg = trading.orders.live.get(holding.legs.pop(_FIRED[cause], ""))
        if leg is not None and not leg.is_closed:
            fire(trading, leg)
            trading.end(leg, (Status.CANCELLED, UNKNOWN, trading.uncertain.ioc_rest_reason))
        _clear(trading, holding)


def _bring(trading: "Trading", holding: Holding, attached: Attached) -> None:
    """The legs of an order go over to the position."""
    against, along = (2, 1) if holding.lots > 0 else (1, 2)
    brought = (
        (StopKind.STOP_LOSS, attached.stop_loss, attached.sl_trigger_by, against),
        (StopKind.TAKE_PROFIT, attached.take_profit, attached.tp_trigger_by, along),
    )
    for kind, price, by, direction in brought:
        if price is not None and holding.legs.get(kind) not in trading.orders.live:
            holding.legs[kind] = _show(trading, holding.symbol, kind, (price, by, direction), holding.lots)


def fire(trading: "Trading", leg: Order) -> None:
    """The trigger of a leg of the position came; once."""
    if leg.is_waiting:
        leg.status = Status.TRIGGERED
        leg.updated_ms = trading.at_ms
        if trading.uncertain.tells_triggered:
            trading.tell(leg)


def sync(trading: "Trading", holding: Holding, now: PositionView) -> None:
    """Show the legs that the position has."""
    for kind, wanted in _wanted(now).items():
        leg = trading.orders.live.get(holding.legs.get(kind, ""))
        if wanted is None:
            if leg is not None:
                del holding.legs[kind]
                trading.end(leg, trading.ending_of(leg) or user_ending(leg, trading.uncertain))
        elif leg is None:
            holding.legs[kind] = _show(trading, holding.symbol, kind, wanted, now.lots)
        elif (leg.trigger_price, leg.trigger_by, leg.size) != (wanted[0], wanted[1], abs(now.lots)):
            leg.trigger_price, leg.trigger_by, leg.size = wanted[0], wanted[1], abs(now.lots)
            leg.updated_ms = trading.at_ms
            trading.touch(leg)


def trail(leg: Order, now: PositionView) -> None:
    """A trailing stop is where the core has it."""
    wanted = _wanted(now)[StopKind.TRAILING]
    if wanted is not None:
        leg.trigger_price = wanted[0]


def _wanted(now: PositionView) -> dict[StopKind, Wanted | None]:
    legs, trailing = now.legs, now.trailing
    against, along = (2, 1) if now.lots > 0 else (1, 2)
    stop = None if legs.stop_loss is None else (legs.stop_loss, _NAMES[legs.stop_source], against)
    take = None if legs.take_profit is None else (legs.take_profit, _NAMES[legs.take_source], along)
    trail = None
    if trailing is not None:
        stands = trailing.activation if trailing.stop is None else trailing.stop
        trail = (stands or 0, "LastPrice", against)
    return {StopKind.STOP_LOSS: stop, StopKind.TAKE_PROFIT: take, StopKind.TRAILING: trail}


def _show(trading: "Trading", symbol: str, kind: StopKind, wanted: Wanted, lots: int) -> str:
    """A new leg of the position; returns its order id."""
    price, by, direction = wanted
    ordinal, order_id = trading.next_id()
    leg = Order(
        ordinal=ordinal,
        order_id=order_id,
        symbol=symbol,
        side=Side.SELL if lots > 0 else Side.BUY,
        type="Market",
        time_in_force="IOC",
        price=0,
        size=abs(lots),
        reduce_only=True,
        close_on_trigger=True,
        status=Status.UNTRIGGERED,
        create_type=f"CreateBy{kind.value}",
        stop_kind=kind,
        trigger_price=price,
        trigger_direction=direction,
        trigger_by=by,
        last_on_created=trading.last_text(symbol),
        created_ms=trading.at_ms,
        updated_ms=trading.at_ms,
    )
    trading.orders.add(leg)
    trading.touch(leg)
    return order_id


def _clear(trading: "Trading", holding: Holding) -> None:
    """The position is flat or turned over: its legs are gone."""
    ids, holding.legs = list(holding.legs.values()), {}
    for order_id in ids:
        leg = trading.orders.live.get(order_id)
        if leg is not None and not leg.is_closed:
            trading.end(leg, cleared_ending(trading.uncertain))


# --- legs of parts of the position ----------------------------------------------------------------------------------


def triggered(trading: "Trading", order: Order) -> None:
    """A conditional order was triggered: the other leg of its pair is not wanted any more."""
    if order.stop_kind in PARTIAL_LEGS and order.pair:
        trading.fired.append(order)


def follow(trading: "Trading", at: int) -> None:
    """Do what the protocol does after the core: place, pair off and clear legs of parts."""
    while trading.fired:
        _pair_off(trading, trading.fired.pop(0), at)
    while trading.opened:
        order_id, lots = trading.opened.popitem()
        parent = trading.orders.find(order_id, "")
        if parent is not None and parent.attached is not None and lots:
            place(trading, parent.symbol, parent.side, lots, parent.attached, at, parent=parent)
    for holding in trading.holdings.values():
        if holding.partial_legs:
            _tidy(trading, holding, at)


def _pair_off(trading: "Trading", order: Order, at: int) -> None:
    other = trading.orders.live.get(order.pair)
    if other is not None and not other.is_closed:
        status = user_ending(other, trading.uncertain)[0]
        _let_go(trading, other, (status, _OTHER_FIRST[order.stop_kind], "EC_NoError"), at)


def _let_go(trading: "Trading", leg: Order, how: Ending, at: int) -> None:
    """Cancel a leg; the market may have ended it in the same instant."""
    try:
        trading.cancel(leg, how, at)
    except Refused:
        if not leg.is_closed:
            raise


def _tidy(trading: "Trading", holding: Holding, at: int) -> None:
    """Forget legs that are over; cancel the others when the position is flat."""
    live = [order_id for order_id in holding.partial_legs if order_id in trading.orders.live]
    holding.partial_legs = live
    if trading.venue.position(trading.market.instruments[holding.symbol]).lots:
        return
    holding.partial_legs = []
    for order_id in live:
        leg = trading.orders.live.get(order_id)
        if leg is not None:
            _let_go(trading, leg, cleared_ending(trading.uncertain), at)


def place(
    trading: "Trading",
    symbol: str,
    side: Side,
    lots: int,
    attached: Attached,
    at: int,
    *,
    parent: Order | None = None,
) -> None:
    """Place stop and take-profit for some lots of a position of `side`.

    Legs that a request asks for (no `parent`) raise Refused; those of an order that was filled have to come to
    something: past its trigger price a leg enters at once, what the core does not take at all ends as rejected.
    """
    made = [_partial(trading, symbol, side, lots, kind, attached, parent) for kind in _kinds(attached)]
    if len(made) == 2:
        made[0].pair, made[1].pair = made[1].order_id, made[0].order_id
    for leg in made:
        try:
            _enter(trading, leg, at)
        except Refused as refused:
            if parent is None:
                raise
            _rescue(trading, leg, refused, at)
        trading.holding(symbol).partial_legs.append(leg.order_id)


def _rescue(trading: "Trading", leg: Order, refused: Refused, at: int) -> None:
    if refused.code in _REACHED:
        try:
            leg.status = Status.TRIGGERED
            _enter(trading, leg, at)
        except Refused:
            leg.status = Status.UNTRIGGERED
        else:
            return
    trading.orders.add(leg)
    trading.end(leg, (Status.REJECTED, UNKNOWN, "EC_Others"))


def _kinds(attached: Attached) -> list[StopKind]:
    kinds = []
    if attached.stop_loss is not None:
        kinds.append(StopKind.PARTIAL_STOP_LOSS)
    if attached.take_profit is not None:
        kinds.append(StopKind.PARTIAL_TAKE_PROFIT)
    return kinds


def _partial(
    trading: "Trading", symbol: str, side: Side, lots: int, kind: StopKind, attached: Attached, parent: Order | None
) -> Order:
    is_stop = kind is StopKind.PARTIAL_STOP_LOSS
    limit = attached.sl_limit if is_stop else attached.tp_limit
    rises = (side is Side.SELL) is is_stop
    ordinal, order_id = trading.next_id()
    return Order(
        ordinal=ordinal,
        order_id=order_id,
        parent_link_id=parent.link_id if parent else "",
        symbol=symbol,
        side=side.opposite,
        type="Market" if limit is None else "Limit",
        time_in_force="IOC" if limit is None else "GTC",
        price=limit or 0,
        size=lots,
        reduce_only=True,
        close_on_trigger=True,
        status=Status.UNTRIGGERED,
        create_type=f"CreateBy{kind.value}",
        stop_kind=kind,
        trigger_price=attached.stop_loss if is_stop else attached.take_profit,
        trigger_direction=1 if rises else 2,
        trigger_by=attached.sl_trigger_by if is_stop else attached.tp_trigger_by,
        last_on_created=trading.last_text(symbol),
        created_ms=trading.at_ms,
        updated_ms=trading.at_ms,
    )


def _enter(trading: "Trading", leg: Order, at: int) -> None:
    trading.enter(
        leg, PlaceOrder(instrument=trading.instrument(leg.symbol), order=asked(trading, leg), legs=Legs()), at
    )


# --- orders for the core --------------------------------------------------------------------------------------------

_TIMES = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "PostOnly": TimeInForce.POST_ONLY,
}


def asked(trading: "Trading", order: Order, limit: int | None = None) -> NewOrder:
    """An order in the core's terms; `limit` makes a limit order of a market order that has a price of its own."""
    is_limit = order.type == "Limit" or limit is not None
    trigger = None
    if order.trigger_price is not None and order.is_waiting:
        direction = TriggerDirection.RISES if order.trigger_direction == 1 else TriggerDirection.FALLS
        trigger = Trigger(Ticks(order.trigger_price), direction, SOURCES[order.trigger_by])
    price = order.price if limit is None else limit
    return NewOrder(
        client_order_id=ClientOrderId(order.order_id),
        instrument=trading.instrument(order.symbol),
        intent=_NO_INTENT,
        purpose=Purpose.EXIT if order.reduce_only else Purpose.ENTRY,
        side=order.side,
        size=Lots(order.size),
        type=OrderType.LIMIT if is_limit else OrderType.MARKET,
        price=Ticks(price) if is_limit else None,
        time_in_force=_TIMES[order.time_in_force],
        reduce_only=order.reduce_only,
        close_on_trigger=order.close_on_trigger,
        trigger=trigger,
    )


_NO_INTENT = IntentId("")
