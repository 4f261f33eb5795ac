"""Parameters of private requests: strings or numbers, null and empty as absent, unknown names ignored."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec

from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused

TriggerBy = Literal["LastPrice", "IndexPrice", "MarkPrice"]
TpslMode = Literal["Full", "Partial"]
Kind = Literal["Limit", "Market"]
OrderFilter = Literal["Order", "StopOrder", "OpenOrder"]
Amount: TypeAlias = Decimal
"""Sign and finiteness are judged where it becomes ticks, lots or money."""
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]


class Parameters(msgspec.Struct, rename="camel", gc=False):
    """Root of all parameters."""


Wanted = TypeVar("Wanted", bound=Parameters)


class Categorised(Parameters, rename="camel", kw_only=True, gc=False):
    """The only category here is linear."""

    category: Literal["linear"]


class OfSymbol(Categorised, rename="camel", kw_only=True, gc=False):
    """About one symbol."""

    symbol: str


class Legs(OfSymbol, rename="camel", kw_only=True, gc=False):
    """Stop and take-profit, of an order or of a position."""

    take_profit: Amount | None = None
    stop_loss: Amount | None = None
    tp_trigger_by: TriggerBy | None = None
    sl_trigger_by: TriggerBy | None = None
    tpsl_mode: TpslMode | None = None
    tp_order_type: Kind = "Market"
    sl_order_type: Kind = "Market"
    tp_limit_price: Amount | None = None
    sl_limit_price: Amount | None = None


class Create(Legs, rename="camel", kw_only=True, gc=False):
    """`order/create`."""

    side: Literal["Buy", "Sell"]
    order_type: Kind
    qty: Amount
    price: Amount | None = None
    time_in_force: Literal["GTC", "IOC", "FOK", "PostOnly", "RPI"] | None = None
    position_idx: int = 0
    order_link_id: str = ""
    reduce_only: bool = False
    close_on_trigger: bool = False
    trigger_price: Amount | None = None
    trigger_direction: Literal[1, 2] | None = None
    trigger_by: TriggerBy = "LastPrice"
    slippage_tolerance_type: Literal["TickSize", "Percent"] | None = None
    slippage_tolerance: Amount | None = None
    bbo_side_type: Literal["Queue", "Counterparty"] | None = None
    bbo_level: Literal[1, 2, 3, 4, 5] | None = None
    smp_type: Literal["None", "CancelMaker", "CancelTaker", "CancelBoth"] = "None"
    rpi_taker_access: bool = False


class Named(OfSymbol, rename="camel", kw_only=True, gc=False):
    """One order, by the exchange's id or by the owner's; the exchange's decides where both are given."""

    order_id: str = ""
    order_link_id: str = ""


class Amend(Named, rename="camel", kw_only=True, gc=False):
    """`order/amend`."""

    qty: Amount | None = None
    price: Amount | None = None
    trigger_price: Amount | None = None
    trigger_by: TriggerBy | None = None
    take_profit: Amount | None = None
    stop_loss: Amount | None = None
    tp_trigger_by: TriggerBy | None = None
    sl_trigger_by: TriggerBy | None = None
    tpsl_mode: TpslMode | None = None
    tp_limit_price: Amount | None = None
    sl_limit_price: Amount | None = None


class CancelAll(Categorised, rename="camel", kw_only=True, gc=False):
    """`order/cancel-all`."""

    symbol: str | None = None
    base_coin: str | None = None
    settle_coin: str | None = None
    order_filter: OrderFilter | None = None
    stop_order_type: Literal["Stop"] | None = None


class Batch(Categorised, rename="camel", kw_only=True, gc=False):
    """`order/*-batch`."""

    request: list[dict[str, Any]]


class Page(Categorised, rename="camel", kw_only=True, gc=False):
    """Which rows, newest first; `cursor` continues after the page before."""

    symbol: str | None = None
    base_coin: str | None = None
    settle_coin: str | None = None
    cursor: str = ""


class OpenOrders(Page, rename="camel", kw_only=True, gc=False):
    """`order/realtime`."""

    order_id: str = ""
    order_link_id: str = ""
    open_only: Literal[0, 1] = 0
    order_filter: OrderFilter | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 20


class OrderHistory(Page, rename="camel", kw_only=True, gc=False):
    """`order/history`."""

    order_id: str = ""
    order_link_id: str = ""
    order_filter: OrderFilter | None = None
    order_status: str | None = None
    start_time: Millis | None = None
    end_time: Millis | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 20


class Executions(Page, rename="camel", kw_only=True, gc=False):
    """`execution/list`."""

    order_id: str = ""
    order_link_id: str = ""
    exec_type: str | None = None
    start_time: Millis | None = None
    end_time: Millis | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50


class ClosedPnl(Page, rename="camel", kw_only=True, gc=False):
    """`position/closed-pnl`."""

    start_time: Millis | None = None
    end_time: Millis | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50


class TransactionLog(Parameters, rename="camel", kw_only=True, gc=False):
    """`account/transaction-log`."""

    account_type: Literal["UNIFIED"] = "UNIFIED"
    category: str | None = None
    currency: str | None = None
    base_coin: str | None = None
    type: str | None = None
    start_time: Millis | None = None
    end_time: Millis | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 20
    cursor: str = ""


class Positions(Parameters, rename="camel", kw_only=True, gc=False):
    """`position/list`. Other categories are empty, not refused: clients ask for all of them."""

    category: Literal["linear", "inverse", "option"]
    symbol: str | None = None
    base_coin: str | None = None
    settle_coin: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20
    cursor: str = ""


class Symbols(Categorised, rename="camel", kw_only=True, gc=False):
    """One symbol or all."""

    symbol: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 200
    cursor: str = ""


class SetLeverage(OfSymbol, rename="camel", kw_only=True, gc=False):
    """`position/set-leverage`."""

    buy_leverage: Amount
    sell_leverage: Amount


class SwitchMode(Categorised, rename="camel", kw_only=True, gc=False):
    """`position/switch-mode`."""

    mode: Literal[0, 3]
    symbol: str | None = None
    coin: str | None = None


class TradingStop(Legs, rename="camel", kw_only=True, gc=False):
    """`position/trading-stop`; mode and index are documented as required, ccxt sends neither."""

    position_idx: int = 0
    trailing_stop: Amount | None = None
    active_price: Amount | None = None
    tp_size: Amount | None = None
    sl_size: Amount | None = None


class AddMargin(OfSymbol, rename="camel", kw_only=True, gc=False):
    """`position/add-margin`; negative takes out."""

    margin: Decimal
    position_idx: int = 0


class AutoAddMargin(OfSymbol, rename="camel", kw_only=True, gc=False):
    """`position/set-auto-add-margin`."""

    auto_add_margin: Literal[0, 1]
    position_idx: int = 0


class Wallet(Parameters, rename="camel", kw_only=True, gc=False):
    """`account/wallet-balance`."""

    account_type: Literal["UNIFIED"]
    coin: str | None = None


class FeeRate(Parameters, rename="camel", kw_only=True, gc=False):
    """`account/fee-rate`."""

    category: Literal["linear", "spot", "inverse", "option"]
    symbol: str | None = None
    base_coin: str | None = None


class MarginMode(Parameters, rename="camel", kw_only=True, gc=False):
    """`account/set-margin-mode`."""

    set_margin_mode: Literal["ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN"]


class LimitPriceAction(Parameters, rename="camel", kw_only=True, gc=False):
    """`account/set-limit-px-action`."""

    category: Literal["linear", "inverse", "spot"]
    modify_enable: bool


class Withdrawal(Parameters, rename="camel", kw_only=True, gc=False):
    """`account/withdrawal`."""

    coin_name: str


class Coins(Parameters, rename="camel", kw_only=True, gc=False):
    """`asset/coin/query-info`."""

    coin: str | None = None


class Nothing(Parameters, rename="camel", gc=False):
    """No parameters."""


def read(wanted: type[Wanted], params: Mapping[str, Any]) -> Wanted:
    """Parameters of a decoded body or query; raises Refused (10001) naming the first one that cannot be."""
    given = {name: _text(value) for name, value in params.items() if value is not None and value != ""}
    try:
        return msgspec.convert(given, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(PARAMETER_ERROR, f"params error: {_complaint(str(error))}") from None


def _text(value: Any) -> Any:
    """Numbers as text, so that a field of text and a field of numbers both take both."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _complaint(text: str) -> str:
    """The field first, as Bybit says it, then what is wrong with it."""
    what, _, path = text.partition(" - at `$.")
    if path:
        return f"{path.rstrip('`')} invalid: {what}"
    return what
