"""What the exchange refuses before an order reaches the book; texts begin with Bybit's code where it has one."""

from collections.abc import Iterable
from decimal import Decimal

from stakan.adapters.exchanges.simulated.account import Account
from stakan.adapters.exchanges.simulated.margin import Terms, band_edge, margin_tier, order_cost, protective_price
from stakan.adapters.exchanges.simulated.orders import LiveOrder
from stakan.adapters.exchanges.simulated.reference import Reference
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, OrderType, TriggerDirection, TriggerSource
from stakan.core.domain.units import Side, Ticks
from stakan.core.portfolio.money import ZERO


class Refused(Exception):
    """The exchange says no; the text is what the owner gets to read."""


def check_filters(rules: Instrument, order: NewOrder, limit: int, is_opening: bool) -> None:
    """Size and value of an order against the instrument's rules."""
    largest = rules.max_market_size if order.type is OrderType.MARKET else rules.max_limit_size
    if order.size < rules.min_size:
        raise Refused(f"10001 size {order.size} lots is under the minimum {rules.min_size}")
    if order.size > largest:
        raise Refused(f"10001 size {order.size} lots is above the maximum {largest}")
    if is_opening and rules.notional(limit, order.size) < rules.min_notional:
        raise Refused(f"110094 value {rules.notional(limit, order.size)} is under the minimum {rules.min_notional}")


def limit_price(rules: Instrument, reference: Reference, side: Side, type_: OrderType, price: int | None) -> Ticks:
    """The limit in force: market orders get the protective price, limit orders are moved to the edge of the band."""
    mark, index = reference.mark, reference.index
    if mark is None or index is None:
        raise Refused("10001 no price of this instrument is known yet")
    if type_ is OrderType.MARKET:
        return protective_price(rules, side, mark)
    if price is None:
        raise Refused("10001 a limit order needs a price")
    if not rules.min_price <= price <= rules.max_price:
        raise Refused(f"10001 price {price} ticks is outside {rules.min_price} to {rules.max_price}")
    edge = band_edge(rules, side, mark, index)
    return Ticks(min(price, edge) if side is Side.BUY else max(price, edge))


def check_trigger(order: NewOrder, reference: Reference) -> None:
    """A conditional order's trigger must lie where the watched price has not been yet."""
    trigger = order.trigger
    if trigger is None:
        return
    watched = reference.price(trigger.source)
    if watched is None:
        raise Refused("10001 no price to watch is known yet")
    price = reference.rules.price(trigger.price)
    if (watched >= price) if trigger.direction is TriggerDirection.RISES else (watched <= price):
        raise Refused(f"110092 trigger price {price} is already reached by {watched}")


def check_protection(
    reference: Reference, side: Side, stop_loss: int | None, take_profit: int | None, source: TriggerSource
) -> None:
    """Stop behind and take-profit beyond the watched price, seen from a position of `side`."""
    watched = reference.price(source)
    if watched is None:
        raise Refused("10001 no price to watch is known yet")
    rules = reference.rules
    if stop_loss is not None and side * rules.price(stop_loss) >= side * watched:
        raise Refused(f"10001 stop loss {rules.price(stop_loss)} is on the wrong side of {watched}")
    if take_profit is not None and side * rules.price(take_profit) <= side * watched:
        raise Refused(f"10001 take profit {rules.price(take_profit)} is on the wrong side of {watched}")


def check_position(lots: int) -> None:
    """A stop needs a position."""
    if not lots:
        raise Refused("10001 no position to protect")


def check_reducible(order: NewOrder, lots: int) -> None:
    """A reduce-only order needs something to reduce."""
    if order.reduce_only and not lots:
        raise Refused("110017 reduce-only without a position")


def opening_lots(orders: Iterable[tuple[int, int]], closable: int) -> list[tuple[int, int]]:
    """(price, lots) of one side's orders without what first closes a position of `closable` lots."""
    opening = []
    for price, lots in orders:
        closes = min(lots, closable)
        closable -= closes
        if lots > closes:
            opening.append((price, lots - closes))
    return opening


def reserved(rules: Instrument, orders: Iterable[LiveOrder], position: int, terms: Terms) -> Decimal:
    """Money that resting orders bind: the dearer side, as only one of both can enlarge the position."""
    dearest = ZERO
    resting = [order for order in orders if not order.request.reduce_only]
    for side in Side:
        mine = [(order.price, order.left) for order in resting if order.side is side]
        closable = max(0, -position * side)
        dearest = max(dearest, sum((cost(rules, side, p, n, terms) for p, n in opening_lots(mine, closable)), ZERO))
    return dearest


def cost(rules: Instrument, side: Side, price: int, lots: int, terms: Terms) -> Decimal:
    """Money that one opening order binds; spot sells deliver what is held and bind none."""
    value = rules.notional(price, lots)
    if rules.is_linear:
        return order_cost(value, side, terms)
    return value * (1 + terms.taker_fee) if side is Side.BUY else ZERO


def _check_leverage(rules: Instrument, order: LiveOrder, held: int, terms: Terms) -> None:
    """The tier of what an order would make of the position may not allow the leverage in force."""
    value = rules.notional(order.price, abs(held + order.side * order.left))
    most = margin_tier(rules, value).max_leverage
    if terms.leverage > most:
        raise Refused(f"110013 a position of {value} allows a leverage of at most {most}, not {terms.leverage}")


def check_money(account: Account, rules: Instrument, orders: list[LiveOrder], terms: Terms) -> None:
    """Whether the wallet carries these orders (the new one among them) beside all else; spot sells need holdings."""
    held = account.position(rules.id).lots
    if not rules.is_linear:
        selling = sum(order.left for order in orders if order.side is Side.SELL)
        if selling > held:
            raise Refused(f"170131 insufficient balance: sells {selling} lots of {held} held")
    needed = reserved(rules, orders, held, terms)
    if rules.is_linear and orders:
        _check_leverage(rules, orders[-1], held, terms)
    free = account.available(without=rules.id)
    if needed > max(free, ZERO):
        raise Refused(f"110007 insufficient balance: needs {needed}, has {free}")
