"""What Bybit v5 says about an account, as it says it: rows and envelopes of private topics, trade socket and REST.

Numbers stay the text that they are, so that nothing becomes a binary float; `number` makes a `Decimal` of one and None
of an empty text, which Bybit uses wherever there is none. Unknown fields are passed over: several come every year.
"""

from decimal import Decimal
from typing import TypeVar

import msgspec

from stakan.adapters.wire import NOT_JSON, exact_number
from stakan.core.domain.errors import DataError

T = TypeVar("T")
_SHOWN = 120

Moment = int | str
"""Milliseconds; a number in envelopes, a text in rows, empty where there is none."""


class _Row(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Root of what is read."""


class OrderRow(_Row, frozen=True, gc=False, rename="camel"):
    """One order: a row of topic `order`, `order/realtime` and `order/history`."""

    symbol: str
    order_id: str
    order_status: str
    side: str
    category: str = ""
    order_link_id: str = ""
    order_type: str = ""
    price: str = ""
    qty: str = ""
    cum_exec_qty: str = ""
    stop_order_type: str = ""
    trigger_price: str = ""
    trigger_by: str = ""
    cancel_type: str = ""
    reject_reason: str = ""
    reduce_only: bool = False
    created_time: Moment = ""
    updated_time: Moment = ""


class ExecutionRow(_Row, frozen=True, gc=False, rename="camel"):
    """One execution: a row of topic `execution` and of `execution/list`."""

    symbol: str
    order_id: str
    exec_id: str
    exec_price: str
    exec_qty: str
    side: str
    category: str = ""
    order_link_id: str = ""
    exec_type: str = "Trade"
    exec_fee: str = ""
    fee_rate: str = ""
    mark_price: str = ""
    stop_order_type: str = ""
    create_type: str = ""
    is_maker: bool = False
    exec_time: Moment = ""


class PositionRow(_Row, frozen=True, gc=False, rename="camel"):
    """One position: a row of topic `position` and of `position/list`; flat where `size` is 0."""

    symbol: str
    side: str = ""
    size: str = ""
    category: str = ""
    position_idx: int = 0
    leverage: str = ""
    avg_price: str = ""
    entry_price: str = ""
    """What the topic calls `avg_price`."""
    mark_price: str = ""
    liq_price: str = ""
    take_profit: str = ""
    stop_loss: str = ""
    position_status: str = ""
    unrealised_pnl: str = ""
    updated_time: Moment = ""


class CoinRow(_Row, frozen=True, gc=False, rename="camel"):
    """One coin of a wallet."""

    coin: str
    equity: str = ""
    wallet_balance: str = ""
    total_position_im: str = msgspec.field(default="", name="totalPositionIM")
    total_order_im: str = msgspec.field(default="", name="totalOrderIM")
    locked: str = ""
    bonus: str = ""
    unrealised_pnl: str = ""


class WalletRow(_Row, frozen=True, gc=False, rename="camel"):
    """A wallet: a row of topic `wallet` and of `account/wallet-balance`."""

    account_type: str = ""
    coin: list[CoinRow] = msgspec.field(default_factory=list)


class InstrumentRow(_Row, frozen=True, gc=False, rename="camel"):
    """What pre-flight reads of `market/instruments-info`."""

    symbol: str
    status: str = ""


class FeeRow(_Row, frozen=True, gc=False, rename="camel"):
    """A row of `account/fee-rate`."""

    symbol: str = ""
    taker_fee_rate: str = ""
    maker_fee_rate: str = ""


class AccountInfo(_Row, frozen=True, gc=False, rename="camel"):
    """`account/info`."""

    margin_mode: str = ""
    unified_margin_status: int = 0


class ApiKey(_Row, frozen=True, gc=False, rename="camel"):
    """`user/query-api`."""

    read_only: int = 0
    permissions: dict[str, list[str]] = msgspec.field(default_factory=dict)
    ips: list[str] = msgspec.field(default_factory=list)
    expired_at: str = ""
    uta: int = 0
    user_id: int = msgspec.field(default=0, name="userID")


class OrderIds(_Row, frozen=True, gc=False, rename="camel"):
    """Answer to creating, amending and cancelling."""

    order_id: str = ""
    order_link_id: str = ""


class Time(_Row, frozen=True, gc=False, rename="camel"):
    """`market/time`."""

    time_second: str = ""
    time_nano: str = ""


class Page(_Row, frozen=True, gc=False, rename="camel"):
    """One page of a list; `next_page_cursor` is empty on the last one."""

    rows: list[msgspec.Raw] = msgspec.field(default_factory=list, name="list")
    next_page_cursor: str = ""
    category: str = ""


class Envelope(_Row, frozen=True, gc=False, rename="camel"):
    """Answer of REST."""

    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"{}")
    time: int = 0


class Header(msgspec.Struct, frozen=True, gc=False):
    """Limits as the trade socket tells them."""

    limit: str = msgspec.field(default="", name="X-Bapi-Limit")
    left: str = msgspec.field(default="", name="X-Bapi-Limit-Status")
    reset: str = msgspec.field(default="", name="X-Bapi-Limit-Reset-Timestamp")


class TradeFrame(_Row, frozen=True, gc=False, rename="camel"):
    """A frame of the trade socket: an answer, a login, a pong."""

    ret_code: int = 0
    ret_msg: str = ""
    op: str = ""
    req_id: str = ""
    header: Header = Header()
    data: msgspec.Raw = msgspec.Raw(b"{}")


class PrivateFrame(_Row, frozen=True, gc=False, rename="camel"):
    """A frame of the private socket: data of a topic, or an answer (`op`)."""

    topic: str = ""
    creation_time: int = 0
    data: msgspec.Raw = msgspec.Raw(b"[]")
    op: str = ""
    success: bool | None = None
    ret_code: int = 0
    snake_text: str = msgspec.field(default="", name="ret_msg")
    camel_text: str = msgspec.field(default="", name="retMsg")

    @property
    def ret_msg(self) -> str:
        """What an answer says; the docs write it one way, and refused logins were seen with the other."""
        return self.snake_text or self.camel_text


_DECODERS: dict[object, msgspec.json.Decoder[object]] = {}


def read(wanted: type[T], text: bytes | msgspec.Raw, what: str) -> T:
    """A message as `wanted`; raises DataError naming `what` it was and the field where it is something else."""
    decoder = _DECODERS.get(wanted)
    if decoder is None:
        decoder = _DECODERS[wanted] = msgspec.json.Decoder(wanted)
    try:
        return decoder.decode(text)  # type: ignore[return-value]  # the decoder of `wanted`
    except NOT_JSON as error:
        raise DataError(f"{what}: {error}: {bytes(text)[:_SHOWN].decode(errors='replace')!r}") from error


def number(text: str) -> Decimal | None:
    """Exact number; None for an empty text. Raises DataError for anything else."""
    return exact_number(text)


def amount(text: str) -> Decimal:
    """Exact number, 0 for an empty text; raises DataError for anything else."""
    return exact_number(text) or Decimal(0)


def millis(moment: Moment) -> int:
    """Milliseconds since 1970; 0 where there is none. Raises DataError for anything else."""
    if isinstance(moment, int):
        return moment
    if not moment:
        return 0
    if not (moment.isascii() and moment.isdigit() and len(moment) < 16):
        raise DataError(f"{moment[:_SHOWN]!r} is no time in milliseconds")
    return int(moment)
