"""What is asked about an account, as procedures: an order by its id, all that is open, settings before trading."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.messages import (
    AccountInfo,
    ApiKey,
    ExecutionRow,
    OrderRow,
    PositionRow,
    WalletRow,
    amount,
    read,
)
from stakan.adapters.exchanges.bybit.rest import Procedure, Request, get, pages, patiently, post, rows_of
from stakan.core.domain.errors import RequestRefused

ISOLATED = "ISOLATED_MARGIN"
_ONE_WAY = 0
_SETTLE = "USDT"


class Sighting(msgspec.Struct, frozen=True):
    """What the exchange knows of one order; nothing where both are empty."""

    orders: list[OrderRow]
    executions: list[ExecutionRow]

    @property
    def is_nothing(self) -> bool:
        """Absent from open orders, history and executions."""
        return not self.orders and not self.executions


def find_order(symbol: str, client: str) -> Procedure[Sighting]:
    """An order by our id, in open orders, then history, then executions; raises as `patiently`."""
    rows = yield from pages(_about(Group.ORDERS, "/v5/order/realtime", symbol, client), OrderRow)
    if not rows:
        rows = yield from pages(_about(Group.HISTORY, "/v5/order/history", symbol, client), OrderRow)
    executions: list[ExecutionRow] = []
    if not rows or any(amount(row.cum_exec_qty) for row in rows):
        executions = yield from executions_of(symbol, client)
    return Sighting(rows, executions)


def executions_of(symbol: str, client: str) -> Procedure[list[ExecutionRow]]:
    """All executions of one order."""
    return (yield from pages(_about(Group.EXECUTIONS, "/v5/execution/list", symbol, client), ExecutionRow))


def executions_since(millis: int) -> Procedure[list[ExecutionRow]]:
    """All executions of the account from a moment on, no further back than seven days."""
    request = get(
        Kind.QUERY,
        Group.EXECUTIONS,
        "/v5/execution/list",
        category="linear",
        startTime=str(millis),
        limit="100",
    )
    return (yield from pages(request, ExecutionRow))


def open_orders() -> Procedure[list[OrderRow]]:
    """All open orders, those that wait for a trigger and legs of positions included."""
    rows: list[OrderRow] = []
    for which in ("Order", "StopOrder"):
        request = get(
            Kind.QUERY,
            Group.ORDERS,
            "/v5/order/realtime",
            category="linear",
            settleCoin=_SETTLE,
            openOnly="0",
            orderFilter=which,
            limit="50",
        )
        rows += yield from pages(request, OrderRow)
    return rows


def positions(symbols: Iterable[str] = ()) -> Procedure[list[PositionRow]]:
    """All open positions, and rows of the symbols given even where they are flat."""
    request = get(Kind.QUERY, Group.POSITIONS, "/v5/position/list", category="linear", settleCoin=_SETTLE, limit="200")
    rows = yield from pages(request, PositionRow)
    found = {row.symbol for row in rows}
    for symbol in symbols:
        if symbol not in found:
            rows += yield from position(symbol)
    return rows


def position(symbol: str) -> Procedure[list[PositionRow]]:
    """The rows of one symbol: one in one-way mode."""
    request = get(Kind.QUERY, Group.POSITIONS, "/v5/position/list", category="linear", symbol=symbol)
    return (yield from pages(request, PositionRow))


def wallet() -> Procedure[list[WalletRow]]:
    """The unified account's balances."""
    request = get(Kind.QUERY, Group.WALLET, "/v5/account/wallet-balance", accountType="UNIFIED")
    reply = yield from patiently(request)
    return list(rows_of(reply.result, WalletRow, request.path))


def account_info() -> Procedure[AccountInfo]:
    """Margin mode and kind of the account."""
    reply = yield from patiently(get(Kind.QUERY, Group.ACCOUNT, "/v5/account/info"))
    return read(AccountInfo, reply.result, "account/info")


def account_id() -> Procedure[int]:
    """The number of the account that the key belongs to; 0 where the exchange does not tell it."""
    reply = yield from patiently(get(Kind.QUERY, Group.KEY, "/v5/user/query-api"))
    return read(ApiKey, reply.result, "user/query-api").user_id


def isolate() -> Procedure[None]:
    """Make sure that the account is in isolated margin; raises RequestRefused where it is not and cannot be."""
    info = yield from account_info()
    if info.margin_mode == ISOLATED:
        return
    yield from patiently(post(Kind.SET, Group.MARGIN_MODE, "/v5/account/set-margin-mode", setMarginMode=ISOLATED))
    info = yield from account_info()
    if info.margin_mode != ISOLATED:
        raise RequestRefused(f"the account stays in {info.margin_mode}: set isolated margin at the exchange")


def prepare(symbol: str, leverage: Decimal) -> Procedure[list[PositionRow]]:
    """One-way mode and leverage of a symbol, set where they are not as wanted and asserted by reading; gives the rows.

    Raises RequestRefused where they are not as wanted afterwards.
    """
    rows = yield from position(symbol)
    if rows and all(row.position_idx == _ONE_WAY and _is_leverage(row, leverage) for row in rows):
        # Settings have a fifth of the budget of questions: after a crash this makes the start seconds shorter.
        return rows
    yield from patiently(
        post(Kind.SET, Group.SETTINGS, "/v5/position/switch-mode", category="linear", symbol=symbol, mode=_ONE_WAY)
    )
    text = f"{leverage.normalize():f}"
    yield from patiently(
        post(
            Kind.SET,
            Group.SETTINGS,
            "/v5/position/set-leverage",
            category="linear",
            symbol=symbol,
            buyLeverage=text,
            sellLeverage=text,
        )
    )
    rows = yield from position(symbol)
    if any(row.position_idx != _ONE_WAY for row in rows):
        raise RequestRefused(f"{symbol}: stays in hedge mode: switch it to one-way at the exchange")
    found = [amount(row.leverage) for row in rows if row.leverage]
    if any(value != leverage for value in found):
        raise RequestRefused(f"{symbol}: leverage is {found[0]} instead of {leverage}")
    return rows


def _is_leverage(row: PositionRow, wanted: Decimal) -> bool:
    return bool(row.leverage) and amount(row.leverage) == wanted


def _about(group: Group, path: str, symbol: str, client: str) -> Request:
    return get(Kind.QUERY, group, path, category="linear", symbol=symbol, orderLinkId=client, limit="50")
