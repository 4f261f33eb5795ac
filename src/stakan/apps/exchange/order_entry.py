"""Requests that change orders: create, amend, cancel, alone and in batches."""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from stakan.adapters.exchanges.simulated.margin import band_edge, protective_price
from stakan.adapters.exchanges.simulated.requests import ChangeOrder, Legs, PlaceOrder, SetTradingStop
from stakan.apps.exchange import grids, legs
from stakan.apps.exchange.orders import LEGS_OF_POSITION, PARTIAL_LEGS, Attached, Order, Status, StopKind
from stakan.apps.exchange.outcomes import user_ending
from stakan.apps.exchange.parameters import Amend, Batch, CancelAll, Create, Named, Parameters, read
from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused
from stakan.apps.exchange.trading import Trading
from stakan.core.domain.ids import ClientOrderId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import TriggerSource
from stakan.core.domain.units import MILLISECOND, Lots, Side, Ticks

ACTIVE_LIMIT = 500
"""Orders in the book, per symbol."""
WAITING_LIMIT = 10
"""Conditional orders, per symbol."""
CANCEL_LIMIT = 500
"""Orders that one `cancel-all` takes."""
_LINK = re.compile(r"[A-Za-z0-9_-]+")
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_NOT_FOUND = (110001, "order not exists or too late to ")


def rules_of(trading: Trading, symbol: str) -> Instrument:
    """Rules of a symbol; raises Refused where it is not listed."""
    found = trading.market.instruments.get(symbol)
    if found is None:
        raise Refused(PARAMETER_ERROR, "Not supported symbols")
    return found


def check_index(position_idx: int) -> None:
    """Accounts here are in one-way mode."""
    if position_idx != 0:
        raise Refused(PARAMETER_ERROR, "position idx not match position mode")


# --- create ---------------------------------------------------------------------------------------------------------


def create(trading: Trading, asked: Create, now: int) -> Order:
    """`order/create`; raises Refused."""
    rules = rules_of(trading, asked.symbol)
    check_index(asked.position_idx)
    if asked.time_in_force == "RPI":
        raise Refused(110119, "RPI orders are not permitted")
    _check_link(trading, asked.order_link_id)
    order = _order(trading, rules, asked, now)
    _check_room(trading, order)
    limit = _own_limit(trading, rules, asked, order.side)
    _check_band(trading, rules, order)
    request = PlaceOrder(instrument=rules.id, order=legs.asked(trading, order, limit), legs=_core_legs(order.attached))
    trading.enter(order, request, now)
    return order


def _order(trading: Trading, rules: Instrument, asked: Create, now: int) -> Order:
    side = _SIDES[asked.side]
    is_limit = asked.order_type == "Limit"
    reduces = asked.reduce_only or asked.close_on_trigger
    trigger = _trigger(rules, asked)
    ordinal, order_id = trading.next_id()
    at_ms = now // MILLISECOND
    return Order(
        ordinal=ordinal,
        order_id=order_id,
        link_id=asked.order_link_id,
        symbol=asked.symbol,
        side=side,
        type=asked.order_type,
        time_in_force=(asked.time_in_force or "GTC") if is_limit else "IOC",
        price=_price(trading, rules, asked, side, trigger),
        size=_size(trading, rules, asked, side),
        reduce_only=reduces,
        close_on_trigger=asked.close_on_trigger,
        status=Status.NEW if trigger is None else Status.UNTRIGGERED,
        create_type="CreateByBboOrder" if asked.bbo_side_type else "CreateByUser",
        stop_kind=StopKind.NONE if trigger is None else StopKind.STOP,
        trigger_price=trigger,
        trigger_direction=0 if trigger is None else asked.trigger_direction or 0,
        trigger_by="" if trigger is None else asked.trigger_by,
        attached=_attached(rules, asked),
        smp_type=asked.smp_type,
        slippage_type=asked.slippage_tolerance_type or "UNKNOWN",
        slippage="" if asked.slippage_tolerance is None else str(asked.slippage_tolerance),
        takes_rpi=asked.rpi_taker_access,
        last_on_created=trading.last_text(asked.symbol),
        created_ms=at_ms,
        updated_ms=at_ms,
    )


def _check_link(trading: Trading, link_id: str) -> None:
    longest = trading.uncertain.longest_link_id
    if not link_id:
        return
    if len(link_id) > longest:
        raise Refused(PARAMETER_ERROR, f"params error: order link id is longer than {longest}")
    if not _LINK.fullmatch(link_id):
        raise Refused(PARAMETER_ERROR, "params error: orderLinkId invalid")
    if link_id in trading.orders.used_links:
        raise Refused(110072, "OrderLinkedID is duplicate")


def _check_room(trading: Trading, order: Order) -> None:
    """Not too many orders of a symbol at once; counted only where there could be."""
    if not order.is_waiting and len(trading.orders.live) < ACTIVE_LIMIT:
        return
    same = [
        one.is_waiting for one in trading.orders.of(order.symbol) if one.stop_kind in (StopKind.NONE, StopKind.STOP)
    ]
    if order.is_waiting and same.count(True) >= WAITING_LIMIT:
        raise Refused(110009, f"the number of stop orders exceeds the maximum of {WAITING_LIMIT}")
    if not order.is_waiting and same.count(False) >= ACTIVE_LIMIT:
        raise Refused(110020, f"not allowed to have more than {ACTIVE_LIMIT} active orders")


def _price(trading: Trading, rules: Instrument, asked: Create, side: Side, trigger: int | None) -> int:
    """Limit of an order; of a market order the protective price, as soon as it enters."""
    if asked.order_type == "Market":
        return trading.protective(asked.symbol, side) if trigger is None else 0
    if asked.bbo_side_type:
        queue = side if asked.bbo_side_type == "Queue" else side.opposite
        found = trading.market.level(asked.symbol, queue, asked.bbo_level or 1)
        if found is None:
            raise Refused(PARAMETER_ERROR, "params error: the book has no such level")
        return found
    if asked.price is None:
        raise Refused(PARAMETER_ERROR, "params error: price is required for limit orders")
    return grids.ticks(rules, asked.price, "price", side if trading.uncertain.rounds_off_grid else None)


def _size(trading: Trading, rules: Instrument, asked: Create, side: Side) -> int:
    """Lots asked for; 0 of a closing order stands for the position, up to the largest order."""
    size = grids.lots(rules, asked.qty, "qty", rounds=trading.uncertain.rounds_off_grid)
    largest = rules.max_limit_size if asked.order_type == "Limit" else rules.max_market_size
    if not size:
        if not (asked.reduce_only and asked.close_on_trigger):
            raise Refused(PARAMETER_ERROR, "params error: qty should be above 0")
        held = max(0, -side * trading.venue.position(rules).lots)
        if not held:
            raise Refused(110017, "current position is zero, cannot fix reduce-only order qty")
        return min(held, largest)
    if size > largest:
        raise Refused(trading.uncertain.too_large_code, f"params error: qty is above the maximum {rules.size(largest)}")
    return size


def _trigger(rules: Instrument, asked: Create) -> int | None:
    if asked.trigger_price is None:
        return None
    if asked.trigger_direction is None:
        raise Refused(PARAMETER_ERROR, "params error: triggerDirection invalid")
    return grids.ticks(rules, asked.trigger_price, "triggerPrice")


def _attached(rules: Instrument, asked: Create) -> Attached | None:
    stop = grids.optional_ticks(rules, asked.stop_loss, "stopLoss")
    take = grids.optional_ticks(rules, asked.take_profit, "takeProfit")
    if stop is None and take is None:
        return None
    if asked.reduce_only or asked.close_on_trigger:
        raise Refused(PARAMETER_ERROR, "params error: a reduce-only order cannot carry takeProfit or stopLoss")
    return attached_of(rules, asked, stop, take)


def attached_of(rules: Instrument, asked: Any, stop: int | None, take: int | None) -> Attached:
    """Legs that a request describes; limit legs are for parts of a position only."""
    mode = asked.tpsl_mode or "Full"
    if mode == "Full" and "Limit" in (asked.tp_order_type, asked.sl_order_type):
        raise Refused(PARAMETER_ERROR, "params error: tpslMode Full only supports market orders")
    return Attached(
        take_profit=take,
        stop_loss=stop,
        tp_trigger_by=asked.tp_trigger_by or "LastPrice",
        sl_trigger_by=asked.sl_trigger_by or "LastPrice",
        mode=mode,
        tp_limit=_leg_limit(rules, asked.tp_order_type, asked.tp_limit_price, "tpLimitPrice"),
        sl_limit=_leg_limit(rules, asked.sl_order_type, asked.sl_limit_price, "slLimitPrice"),
    )


def _leg_limit(rules: Instrument, kind: str, price: Decimal | None, name: str) -> int | None:
    if kind == "Market":
        return None
    if price is None:
        raise Refused(PARAMETER_ERROR, f"params error: {name} is required for a limit leg")
    return grids.ticks(rules, price, name)


def _core_legs(attached: Attached | None) -> Legs:
    """What the core keeps with the position; legs of parts are orders of their own, made after fills."""
    if attached is None or attached.mode == "Partial":
        return Legs()
    return Legs(
        None if attached.stop_loss is None else Ticks(attached.stop_loss),
        None if attached.take_profit is None else Ticks(attached.take_profit),
        legs.SOURCES[attached.sl_trigger_by],
        legs.SOURCES[attached.tp_trigger_by],
    )


def _own_limit(trading: Trading, rules: Instrument, asked: Create, side: Side) -> int | None:
    """Limit of a market order with a slippage tolerance: away from the touch, inside the protective price."""
    if asked.slippage_tolerance_type is None or asked.slippage_tolerance is None:
        return None
    if asked.order_type != "Market":
        raise Refused(PARAMETER_ERROR, "params error: slippageTolerance is for market orders")
    touch, mark = trading.market.level(asked.symbol, side.opposite, 1), trading.market.quote(asked.symbol).mark
    if touch is None or mark is None:
        raise Refused(110118, "no price for a market order")
    worst = _tolerated(rules, asked.slippage_tolerance_type, asked.slippage_tolerance, side, touch)
    protective = protective_price(rules, side, mark)
    return min(worst, protective) if side is Side.BUY else max(worst, protective, rules.min_price)


def _tolerated(rules: Instrument, kind: str, tolerance: Decimal, side: Side, touch: int) -> int:
    grids.amount(tolerance, "slippageTolerance")
    if kind == "TickSize":
        if tolerance != tolerance.to_integral_value() or not 1 <= tolerance <= 10_000:
            raise Refused(PARAMETER_ERROR, "params error: slippageTolerance should be a whole number from 1 to 10000")
        return touch + side * int(tolerance)
    if not Decimal("0.01") <= tolerance <= 10:
        raise Refused(PARAMETER_ERROR, "params error: slippageTolerance should be from 0.01 to 10")
    price = rules.price(touch) * (1 + side * tolerance / 100)
    return rules.price_down(price) if side is Side.BUY else rules.price_up(price)


def _check_band(trading: Trading, rules: Instrument, order: Order) -> None:
    """Who wants rejections gets them; else the core moves the price to the edge of the band."""
    quote = trading.market.quote(order.symbol)
    if trading.moves_price or order.type != "Limit" or order.is_waiting or quote.mark is None:
        return
    edge = band_edge(rules, order.side, quote.mark, quote.mark if quote.index is None else quote.index)
    if order.side * order.price > order.side * edge:
        raise Refused(110003, "order price exceeds the allowable range")


# --- amend ----------------------------------------------------------------------------------------------------------


def named(trading: Trading, asked: Named, what: str) -> Order:
    """The live order that a request names; raises Refused (110001) where it is not one of the symbol's."""
    rules_of(trading, asked.symbol)
    if not (asked.order_id or asked.order_link_id):
        raise Refused(PARAMETER_ERROR, "params error: orderId or orderLinkId is required")
    order = trading.orders.find(asked.order_id, asked.order_link_id)
    if order is None or order.is_closed or order.symbol != asked.symbol:
        raise Refused(_NOT_FOUND[0], _NOT_FOUND[1] + what)
    return order


def amend(trading: Trading, asked: Amend, now: int) -> Order:
    """`order/amend`; raises Refused, then the order is what it was."""
    order = named(trading, asked, "replace")
    rules = rules_of(trading, asked.symbol)
    if order.stop_kind in LEGS_OF_POSITION:
        _amend_leg(trading, rules, order, asked, now)
        return order
    change, attached = _change(trading, rules, order, asked)
    old = (order.attached, order.trigger_price, order.trigger_by)
    order.attached = attached
    order.trigger_price = order.trigger_price if change.trigger_price is UNSET else change.trigger_price
    order.trigger_by = asked.trigger_by or order.trigger_by
    try:
        if change == ChangeOrder(instrument=rules.id, client_order_id=ClientOrderId(order.order_id)):
            _announce(trading, order, changed=attached != old[0], now=now)
        else:
            trading.carry_out(change, order.symbol, now)
    except Refused:
        order.attached, order.trigger_price, order.trigger_by = old
        raise
    return order


def _announce(trading: Trading, order: Order, *, changed: bool, now: int) -> None:
    if not changed:
        raise Refused(PARAMETER_ERROR, "The order remains unchanged as the parameters entered match the existing ones.")
    trading.announce(order, now)


def _change(trading: Trading, rules: Instrument, order: Order, asked: Amend) -> tuple[ChangeOrder, Attached | None]:
    """What the core is asked for, and the legs that the order carries afterwards."""
    rounds = trading.uncertain.rounds_off_grid
    price: Ticks | UnsetType = UNSET
    if asked.price is not None:
        price = grids.ticks(rules, asked.price, "price", order.side if rounds else None)
    size: Lots | UnsetType = UNSET
    if asked.qty is not None:
        size = grids.lots(rules, asked.qty, "qty", rounds=rounds)
    trigger: Ticks | UnsetType = UNSET
    if asked.trigger_price is not None:
        trigger = grids.ticks(rules, asked.trigger_price, "triggerPrice")
    attached = _amended_legs(rules, order, asked)
    old, new = _core_legs(order.attached), _core_legs(attached)
    change = ChangeOrder(
        instrument=rules.id,
        client_order_id=ClientOrderId(order.order_id),
        price=UNSET if price == order.price else price,
        size=UNSET if size == order.size else size,
        trigger_price=UNSET if trigger == order.trigger_price else trigger,
        trigger_source=_other(asked.trigger_by, order.trigger_by),
        stop_loss=UNSET if new.stop_loss == old.stop_loss else new.stop_loss,
        take_profit=UNSET if new.take_profit == old.take_profit else new.take_profit,
        stop_source=UNSET if new.stop_source == old.stop_source else new.stop_source,
        take_source=UNSET if new.take_source == old.take_source else new.take_source,
    )
    return change, attached


def _other(name: str | None, present: str) -> TriggerSource | UnsetType:
    return UNSET if name is None or name == present else legs.SOURCES[name]


def _amended_legs(rules: Instrument, order: Order, asked: Amend) -> Attached | None:
    """Legs after an amendment: what is named replaces, 0 takes away."""
    old = order.attached or Attached(mode=asked.tpsl_mode or "Full")
    if asked.tpsl_mode is not None and asked.tpsl_mode != old.mode:
        raise Refused(110060, "tpslMode cannot be amended")
    if order.filled and old.mode == "Partial" and not (asked.take_profit is None and asked.stop_loss is None):
        raise Refused(110059, "the order is partly filled: its legs cannot be amended")
    new = msgspec.structs.replace(
        old,
        take_profit=_replaced(rules, asked.take_profit, old.take_profit, "takeProfit"),
        stop_loss=_replaced(rules, asked.stop_loss, old.stop_loss, "stopLoss"),
        tp_trigger_by=asked.tp_trigger_by or old.tp_trigger_by,
        sl_trigger_by=asked.sl_trigger_by or old.sl_trigger_by,
        tp_limit=_replaced(rules, asked.tp_limit_price, old.tp_limit, "tpLimitPrice"),
        sl_limit=_replaced(rules, asked.sl_limit_price, old.sl_limit, "slLimitPrice"),
    )
    return None if new.is_empty else new


def _replaced(rules: Instrument, asked: Decimal | None, old: int | None, name: str) -> int | None:
    return old if asked is None else grids.optional_ticks(rules, asked, name)


def _amend_leg(trading: Trading, rules: Instrument, leg: Order, asked: Amend, now: int) -> None:
    """A leg of the position moves with its trigger price; its size is the position's."""
    if asked.price is not None or asked.qty is not None or asked.trigger_price is None:
        raise Refused(PARAMETER_ERROR, "params error: only triggerPrice and triggerBy of this order can be amended")
    price = grids.ticks(rules, asked.trigger_price, "triggerPrice")
    source = UNSET if asked.trigger_by is None else legs.SOURCES[asked.trigger_by]
    if leg.stop_kind is StopKind.STOP_LOSS:
        request = SetTradingStop(instrument=rules.id, stop_loss=price, stop_source=source)
    elif leg.stop_kind is StopKind.TAKE_PROFIT:
        request = SetTradingStop(instrument=rules.id, take_profit=price, take_source=source)
    else:
        raise Refused(PARAMETER_ERROR, "params error: a trailing stop is amended with trading-stop")
    trading.carry_out(request, leg.symbol, now)


# --- cancel ---------------------------------------------------------------------------------------------------------


def cancel(trading: Trading, asked: Named, now: int) -> Order:
    """`order/cancel`; raises Refused."""
    order = named(trading, asked, "cancel")
    trading.cancel(order, user_ending(order, trading.uncertain), now)
    return order


def cancel_all(trading: Trading, asked: CancelAll, now: int) -> list[Order]:
    """`order/cancel-all`: without a filter everything goes, the position's stop included; raises Refused."""
    if not (asked.symbol or asked.base_coin or asked.settle_coin):
        raise Refused(PARAMETER_ERROR, "params error: symbol, baseCoin or settleCoin is required")
    chosen = chosen_symbols(trading, asked.symbol, asked.base_coin, asked.settle_coin)
    spares_legs = asked.order_filter == "StopOrder" and asked.stop_order_type == "Stop"
    gone: list[Order] = []
    for order in list(trading.orders.live.values()):
        if len(gone) == CANCEL_LIMIT:
            break
        is_leg = order.stop_kind in LEGS_OF_POSITION | PARTIAL_LEGS
        if order.symbol not in chosen or not is_of(order, asked.order_filter) or (spares_legs and is_leg):
            continue
        if order.order_id in trading.orders.live:  # else it went with one before
            trading.cancel(order, user_ending(order, trading.uncertain), now)
            gone.append(order)
    return gone


def is_of(order: Order, kind: str | None) -> bool:
    """Whether an order is of an `orderFilter`: StopOrder is what waits for a trigger, Order what stands in the book.

    OpenOrder: all but take-profits and stops of positions.
    """
    if kind == "Order":
        return not order.is_waiting
    if kind == "StopOrder":
        return order.is_waiting
    if kind == "OpenOrder":
        return not (order.is_waiting and order.stop_kind in LEGS_OF_POSITION | PARTIAL_LEGS)
    return True


def chosen_symbols(
    trading: Trading, symbol: str | None, base: str | None = None, settle: str | None = None
) -> frozenset[str]:
    """Symbols that a request is about: by symbol before base coin before settlement coin; else all."""
    listed = trading.market.instruments
    if symbol is not None:
        rules_of(trading, symbol)
        return frozenset((symbol,))
    if base is not None:
        return frozenset(name for name, rules in listed.items() if rules.base == base)
    if settle is not None:
        return frozenset(name for name, rules in listed.items() if rules.settle == settle)
    return frozenset(listed)


# --- batches --------------------------------------------------------------------------------------------------------

Single = tuple[type[Parameters], Callable[[Trading, Any, int], Order]]
"""Parameters of one item, and what carries it out."""


def batch(
    trading: Trading, asked: Batch, single: Single, now: int, allowed: int | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Result and `retExtInfo` of a batch: every item for itself; those beyond `allowed` are too many (10006)."""
    if not 0 < len(asked.request) <= trading.uncertain.largest_batch:
        raise Refused(PARAMETER_ERROR, f"params error: 1 to {trading.uncertain.largest_batch} orders in a batch")
    rows, outcomes = [], []
    for place, item in enumerate(asked.request):
        row, outcome = _item(trading, item, single, now, is_allowed=allowed is None or place < allowed)
        rows.append({"category": "linear", "symbol": item.get("symbol") or ""} | row)
        outcomes.append(outcome)
    return {"list": rows}, {"list": outcomes}


def _item(
    trading: Trading, item: dict[str, Any], single: Single, now: int, *, is_allowed: bool
) -> tuple[dict[str, str], dict[str, Any]]:
    failed = {"orderId": "", "orderLinkId": item.get("orderLinkId") or "", "createAt": ""}
    if not is_allowed:
        return failed, {"code": 10006, "msg": "Too many visits. Exceeded the API Rate Limit."}
    kind, carry_out = single
    try:
        order = carry_out(trading, read(kind, {"category": "linear"} | item), now)
    except Refused as refused:
        return failed, {"code": refused.code, "msg": refused.message}
    return names(order) | {"createAt": str(order.created_ms)}, {"code": 0, "msg": "OK"}


def names(order: Order) -> dict[str, str]:
    """How an answer names an order."""
    return {"orderId": order.order_id, "orderLinkId": order.link_id}


def all_names(orders: Iterable[Order]) -> list[dict[str, str]]:
    """The same of many."""
    return [names(order) for order in orders]
