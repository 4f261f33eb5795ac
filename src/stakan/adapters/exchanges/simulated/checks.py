"""What the exchange refuses before an order reaches the book."""

from collections.abc import Iterable
from decimal import Decimal

from stakan.adapters.exchanges.simulated.account import Account, Position
from stakan.adapters.exchanges.simulated.margin import Terms, band_edge, margin_tier, order_cost, protective_price
from stakan.adapters.exchanges.simulated.orders import LiveOrder
from stakan.adapters.exchanges.simulated.reference import Reference
from stakan.adapters.exchanges.simulated.refusals import Refused
from stakan.adapters.exchanges.simulated.requests import Legs
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, OrderType, Trigger, TriggerDirection, TriggerSource
from stakan.core.domain.units import Side, Ticks
from stakan.core.portfolio.money import ZERO


def check_filters(rules: Instrument, type_: OrderType, size: int, price: int, is_opening: bool) -> None:
    """Size and value of an order against the instrument's rules."""
    largest = rules.max_market_size if type_ is OrderType.MARKET else rules.max_limit_size
    if size < rules.min_size:
        raise Refused(10001, f"size {size} lots is under the minimum {rules.min_size}")
    if size > largest:
        raise Refused(10001, f"size {size} lots is above the maximum {largest}")
    value = rules.notional(price, size)
    if is_opening and value < rules.min_notional:
        raise Refused(110094, f"value {value} is under the minimum {rules.min_notional}")


def limit_price(rules: Instrument, reference: Reference, side: Side, type_: OrderType, price: int | None) -> Ticks:
    """The limit in force: market orders get the protective price, limit orders are moved to the edge of the band."""
    mark, index = reference.mark, reference.index
    if mark is None or index is None:
        raise Refused(10001, "no price of this instrument is known yet")
    if type_ is OrderType.MARKET:
        return protective_price(rules, side, mark)
    if price is None:
        raise Refused(10001, "a limit order needs a price")
    if not rules.min_price <= price <= rules.max_price:
        raise Refused(10001, f"price {price} ticks is outside {rules.min_price} to {rules.max_price}")
    edge = band_edge(rules, side, mark, index)
    return Ticks(min(price, edge) if side is Side.BUY else max(price, edge))


def check_trigger(trigger: Trigger, reference: Reference) -> None:
    """A conditional order's trigger must lie where the watched price has not been yet."""
    watched = reference.price(trigger.source)
    if watched is None:
        raise Refused(10001, "no price to watch is known yet")
    price = reference.rules.price(trigger.price)
    rises = trigger.direction is TriggerDirection.RISES
    if (watched >= price) if rises else (watched <= price):
        raise Refused(110092 if rises else 110093, f"trigger price {price} is already reached by {watched}")


def check_legs(reference: Reference, side: Side, legs: Legs) -> None:
    """Stop behind and take-profit beyond the price that each watches, seen from a position of `side`."""
    if legs.stop_loss is not None:
        _check_leg(reference, side, legs.stop_loss, legs.stop_source, "stop loss")
    if legs.take_profit is not None:
        _check_leg(reference, side.opposite, legs.take_profit, legs.take_source, "take profit")


def _check_leg(reference: Reference, side: Side, price: int, source: TriggerSource, name: str) -> None:
    watched = reference.price(source)
    if watched is None:
        raise Refused(10001, "no price to watch is known yet")
    if side * reference.rules.price(price) >= side * watched:
        raise Refused(10001, f"{name} {reference.rules.price(price)} is on the wrong side of {watched}")


def check_trailing(reference: Reference, side: Side, distance: int, activation: int | None) -> None:
    """A trailing stop begins above zero, and its activation lies where the last price has not been yet."""
    last = reference.price(TriggerSource.LAST)
    if last is None:
        raise Refused(10001, "no price to watch is known yet")
    rules = reference.rules
    if activation is not None and side * rules.price(activation) <= side * last:
        raise Refused(10001, f"activation price {rules.price(activation)} is on the wrong side of {last}")
    start = last if activation is None else rules.price(activation)
    if not 0 < rules.price(distance) < start:
        raise Refused(10001, f"trailing distance {rules.price(distance)} is not between 0 and {start}")


def check_position(lots: int) -> None:
    """A stop needs a position."""
    if not lots:
        raise Refused(10001, "no position to protect")


def check_reducible(order: NewOrder, lots: int) -> None:
    """A reduce-only order needs something to reduce."""
    if order.reduce_only and not lots:
        raise Refused(110017, "reduce-only without a position")


def _opening_values(orders: Iterable[LiveOrder], position: int) -> tuple[int, int]:
    """Ticks times lots of buys and of sells, without what first closes the position."""
    buys = sells = 0
    closed_by_buys, closed_by_sells = max(0, -position), max(0, position)
    for order in orders:
        request = order.request
        if request.reduce_only:
            continue
        left = order.left
        if request.side is Side.BUY:
            closes = min(left, closed_by_buys) if closed_by_buys else 0
            closed_by_buys -= closes
            buys += order.price * (left - closes)
        else:
            closes = min(left, closed_by_sells) if closed_by_sells else 0
            closed_by_sells -= closes
            sells += order.price * (left - closes)
    return buys, sells


def reserved(rules: Instrument, orders: Iterable[LiveOrder], position: int, terms: Terms) -> Decimal:
    """Money that resting orders bind: the dearer side, as only one of both can enlarge the position.

    What an order binds is in proportion to its value, so that a side is added up in whole numbers.
    """
    buys, sells = _opening_values(orders, position)
    return max(
        ZERO,
        cost(rules, Side.BUY, rules.notional(1, buys), terms),
        cost(rules, Side.SELL, rules.notional(1, sells), terms),
    )


def cost(rules: Instrument, side: Side, value: Decimal, terms: Terms) -> Decimal:
    """Money that opening orders of a value bind; spot sells deliver what is held and bind none."""
    if rules.is_linear:
        return order_cost(value, side, terms)
    return value * (1 + terms.taker_fee) if side is Side.BUY else ZERO


def _check_leverage(rules: Instrument, order: LiveOrder, held: int, terms: Terms) -> None:
    """The tier of what an order would make of the position may not allow the leverage in force."""
    value = rules.notional(order.price, abs(held + order.side * order.left))
    most = margin_tier(rules, value).max_leverage
    if terms.leverage > most:
        raise Refused(110013, f"a position of {value} allows a leverage of at most {most}, not {terms.leverage}")


def check_leverage(rules: Instrument, orders: Iterable[LiveOrder], position: Position, leverage: Decimal) -> None:
    """The tier of the position with the orders of one side may not allow less than this leverage."""
    opening = [order for order in orders if not order.request.reduce_only]
    for side in Side:
        value = side * position.side * position.cost
        value += sum((rules.notional(order.price, order.left) for order in opening if order.side is side), ZERO)
        most = margin_tier(rules, value).max_leverage
        if leverage > most:
            raise Refused(110013, f"position and orders of {value} allow a leverage of at most {most}, not {leverage}")


def check_money(account: Account, rules: Instrument, orders: list[LiveOrder], terms: Terms) -> None:
    """Whether the wallet carries these orders (the new one among them) beside all else; spot sells need holdings."""
    held = account.position(rules.id).lots
    if not rules.is_linear:
        selling = sum(order.left for order in orders if order.side is Side.SELL)
        if selling > held:
            raise Refused(170131, f"insufficient balance: sells {selling} lots of {held} held")
    needed = reserved(rules, orders, held, terms)
    if rules.is_linear and orders:
        _check_leverage(rules, orders[-1], held, terms)
    free = account.available(without=rules.id)
    if needed > max(free, ZERO):
        raise Refused(110007, f"insufficient balance: needs {needed}, has {free}")
