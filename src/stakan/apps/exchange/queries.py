"""Requests that only read: orders, executions, positions, closed results, the transaction log."""

from typing import Any

from stakan.apps.exchange import parameters
from stakan.apps.exchange.history import DAY_MS, Kept, cut, listed, stretch
from stakan.apps.exchange.holdings import Closing
from stakan.apps.exchange.order_entry import chosen_symbols, is_of, rules_of
from stakan.apps.exchange.orders import CLOSED, Order, newest_first, order_row
from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused
from stakan.apps.exchange.rows import ExecutionRow, TransactionRow
from stakan.apps.exchange.trading import Trading
from stakan.core.domain.units import MILLISECOND

_LAST_CLOSED = 500
"""Of what `openOnly=1` shows."""


def open_orders(trading: Trading, asked: parameters.OpenOrders, _now: int) -> dict[str, Any]:
    """`order/realtime`: live orders, or the last closed ones; by id both."""
    by_id = bool(asked.order_id or asked.order_link_id)
    if not (by_id or asked.symbol or asked.base_coin or asked.settle_coin):
        raise Refused(PARAMETER_ERROR, "params error: symbol, baseCoin or settleCoin is required")
    chosen = chosen_symbols(trading, asked.symbol, asked.base_coin, asked.settle_coin)
    if by_id:
        found = trading.orders.find(asked.order_id, asked.order_link_id)
        rows = [found] if found is not None and found.symbol in chosen else []
        return _orders(trading, rows, "")
    source = list(trading.orders.closed)[-_LAST_CLOSED:] if asked.open_only else list(trading.orders.live.values())
    page, cursor = cut(
        newest_first(source),
        lambda order: order.symbol in chosen and is_of(order, asked.order_filter),
        asked.limit,
        asked.cursor,
    )
    return _orders(trading, page, cursor)


def order_history(trading: Trading, asked: parameters.OrderHistory, now: int) -> dict[str, Any]:
    """`order/history`: closed orders by creation; those without a fill for a day."""
    chosen = chosen_symbols(trading, asked.symbol, asked.base_coin, asked.settle_coin)
    if asked.order_status is not None and asked.order_status not in CLOSED:
        raise Refused(181017, "OrderStatus must be final status")
    now_ms = now // MILLISECOND
    first, last = stretch(asked.start_time, asked.end_time, now_ms)
    by_id = bool(asked.order_id or asked.order_link_id)
    named = trading.orders.find(asked.order_id, asked.order_link_id) if by_id else None

    def is_wanted(order: Order) -> bool:
        is_kept = order.filled > 0 or order.updated_ms >= now_ms - DAY_MS
        is_right = order is named if by_id else first <= order.created_ms <= last
        has_status = asked.order_status in (None, order.status.value)
        return is_kept and is_right and has_status and order.symbol in chosen and is_of(order, asked.order_filter)

    page, cursor = cut(newest_first(trading.orders.closed), is_wanted, asked.limit, asked.cursor)
    return _orders(trading, page, cursor)


def _orders(trading: Trading, page: list[Order], cursor: str) -> dict[str, Any]:
    for order in page:
        trading.refresh(order)
    return listed([order_row(order, rules_of(trading, order.symbol)) for order in page], cursor)


def executions(trading: Trading, asked: parameters.Executions, now: int) -> dict[str, Any]:
    """`execution/list`."""
    chosen = chosen_symbols(trading, asked.symbol, asked.base_coin, asked.settle_coin)
    first, last = stretch(asked.start_time, asked.end_time, now // MILLISECOND)

    def is_wanted(kept: Kept[ExecutionRow]) -> bool:
        row = kept.row
        is_named = asked.order_id in ("", row.order_id) and asked.order_link_id in ("", row.order_link_id)
        return is_named and asked.exec_type in (None, row.exec_type) and row.symbol in chosen

    page, cursor = cut(trading.executions.newest_first(first, last), is_wanted, asked.limit, asked.cursor)
    return listed([kept.row for kept in page], cursor)


def closed_pnl(trading: Trading, asked: parameters.ClosedPnl, now: int) -> dict[str, Any]:
    """`position/closed-pnl`."""
    chosen = chosen_symbols(trading, asked.symbol, asked.base_coin, asked.settle_coin)
    first, last = stretch(asked.start_time, asked.end_time, now // MILLISECOND)

    def is_wanted(closing: Closing) -> bool:
        return first <= closing.updated_ms <= last and closing.symbol in chosen

    page, cursor = cut(reversed(trading.closings.values()), is_wanted, asked.limit, asked.cursor)
    return listed([closing.row(rules_of(trading, closing.symbol)) for closing in page], cursor)


def positions(trading: Trading, asked: parameters.Positions, _now: int) -> dict[str, Any]:
    """`position/list`: the row of a symbol, flat or not; without a symbol the open ones."""
    if asked.category != "linear":
        return {"list": [], "nextPageCursor": "", "category": asked.category}
    if not (asked.symbol or asked.base_coin or asked.settle_coin):
        raise Refused(PARAMETER_ERROR, "params error: symbol or settleCoin is required")
    chosen = chosen_symbols(trading, asked.symbol, asked.base_coin, asked.settle_coin)
    wanted = [
        symbol
        for symbol in sorted(chosen)
        if symbol == asked.symbol or (symbol in trading.holdings and trading.holdings[symbol].lots)
    ]
    skipped = [symbol for symbol in wanted if symbol > asked.cursor]
    page = skipped[: asked.limit]
    rows = [
        trading.position_row(symbol, trading.venue.position(rules_of(trading, symbol)), is_pushed=False)
        for symbol in page
    ]
    return listed(rows, page[-1] if len(skipped) > len(page) else "")


def transaction_log(trading: Trading, asked: parameters.TransactionLog, now: int) -> dict[str, Any]:
    """`account/transaction-log`: a day unless the request says otherwise."""
    first, last = stretch(asked.start_time, asked.end_time, now // MILLISECOND, DAY_MS)
    listed_symbols = trading.market.instruments

    def is_wanted(kept: Kept[TransactionRow]) -> bool:
        row = kept.row
        is_right = asked.currency in (None, row.currency) and asked.category in (None, row.category)
        has_base = asked.base_coin in (None, listed_symbols[row.symbol].base)
        return is_right and has_base and asked.type in (None, row.type)

    page, cursor = cut(trading.transactions.newest_first(first, last), is_wanted, asked.limit, asked.cursor)
    return {"list": [kept.row for kept in page], "nextPageCursor": cursor}
