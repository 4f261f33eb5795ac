"""Bodies of order requests of Bybit v5; the trade socket and REST take the same ones."""

from decimal import Decimal

from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, OrderType, TimeInForce, Trigger, TriggerDirection, TriggerSource
from stakan.core.domain.units import Side, Ticks

SIDES = {Side.BUY: "Buy", Side.SELL: "Sell"}
_TIMES = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
_SOURCES = {TriggerSource.MARK: "MarkPrice", TriggerSource.LAST: "LastPrice", TriggerSource.INDEX: "IndexPrice"}
_DIRECTIONS = {TriggerDirection.RISES: 1, TriggerDirection.FALLS: 2}


def symbol_of(instrument: InstrumentId) -> str:
    """What the exchange calls an instrument."""
    return split_instrument_id(instrument)[2]


def creation(order: NewOrder, rules: Instrument) -> dict[str, object]:
    """`order/create`; an entry carries its stop, for the whole position and as a market order."""
    body: dict[str, object] = {
        "category": "linear",
        "symbol": symbol_of(order.instrument),
        "side": SIDES[order.side],
        "orderType": "Limit" if order.type is OrderType.LIMIT else "Market",
        "qty": _text(rules.size(order.size)),
        "timeInForce": _TIMES[order.time_in_force],
        "positionIdx": 0,
        "orderLinkId": order.client_order_id,
        "reduceOnly": order.reduce_only,
    }
    if order.price is not None:
        body["price"] = _text(rules.price(order.price))
    if order.close_on_trigger:
        body["closeOnTrigger"] = True
    if order.trigger is not None:
        body |= _condition(order.trigger, rules)
    if order.stop_loss is not None or order.take_profit is not None:
        body["tpslMode"] = "Full"
    if order.stop_loss is not None:
        body["stopLoss"] = _text(rules.price(order.stop_loss))
        body["slTriggerBy"] = _SOURCES[order.trigger_source]
        body["slOrderType"] = "Market"
    if order.take_profit is not None:
        body["takeProfit"] = _text(rules.price(order.take_profit))
        body["tpTriggerBy"] = _SOURCES[order.trigger_source]
        body["tpOrderType"] = "Market"
    return body


def cancellation(command: CancelOrder) -> dict[str, object]:
    """`order/cancel`, by our id alone, since of two ids the exchange would take its own; else by the exchange's."""
    about: dict[str, object] = {"category": "linear", "symbol": symbol_of(command.instrument)}
    if command.venue_order_id:
        return about | {"orderId": command.venue_order_id}
    return about | {"orderLinkId": command.client_order_id}


def amendment(command: AmendOrder, rules: Instrument) -> dict[str, object]:
    """`order/amend`; the quantity is the new total."""
    return {
        "category": "linear",
        "symbol": symbol_of(command.instrument),
        "orderLinkId": command.client_order_id,
        "price": _text(rules.price(command.price)),
        "qty": _text(rules.size(command.size)),
    }


def protection(command: SetProtection, rules: Instrument) -> dict[str, object]:
    """`position/trading-stop` for the whole position, by mark price (decision 7); "0" clears."""
    return {
        "category": "linear",
        "symbol": symbol_of(command.instrument),
        "tpslMode": "Full",
        "positionIdx": 0,
        "stopLoss": _price_or_zero(rules, command.stop_loss),
        "takeProfit": _price_or_zero(rules, command.take_profit),
        "slTriggerBy": _SOURCES[TriggerSource.MARK],
        "tpTriggerBy": _SOURCES[TriggerSource.MARK],
    }


def _condition(trigger: Trigger, rules: Instrument) -> dict[str, object]:
    return {
        "triggerPrice": _text(rules.price(trigger.price)),
        "triggerDirection": _DIRECTIONS[trigger.direction],
        "triggerBy": _SOURCES[trigger.source],
    }


def _price_or_zero(rules: Instrument, ticks: Ticks | None) -> str:
    return "0" if ticks is None else _text(rules.price(ticks))


def _text(value: Decimal) -> str:
    return f"{value:f}"
