"""Bybit's `/v5/market/instruments-info` reply to instruments."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from stakan.adapters.exchanges.bybit.decode import VENUE
from stakan.adapters.wire import NOT_JSON
from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MINUTE, Lots, Nanos

_PERPETUAL = "LinearPerpetual"
_SPOT_FEE = Decimal("0.001")
_ASSUMED_LINEAR = ("maker_fee", "taker_fee", "margin_tiers")
_ASSUMED_SPOT = ("maker_fee", "taker_fee")


class _Leverage(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    max_leverage: Decimal = Decimal(1)


class _Price(msgspec.Struct, gc=False, rename="camel"):
    tick_size: Decimal
    min_price: Decimal | None = None
    max_price: Decimal | None = None


class _Risk(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    price_limit_ratio_x: str = ""
    price_limit_ratio_y: str = ""


class _Lot(msgspec.Struct, gc=False, rename="camel"):
    """Linear names first, then those of spot."""

    min_order_qty: Decimal
    qty_step: Decimal | None = None
    max_order_qty: Decimal | None = None
    max_mkt_order_qty: Decimal | None = None
    min_notional_value: str = ""
    base_precision: Decimal | None = None
    max_limit_order_qty: Decimal | None = None
    max_market_order_qty: Decimal | None = None
    min_order_amt: str = ""


class _Row(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    base_coin: str
    quote_coin: str
    price_filter: _Price
    lot_size_filter: _Lot
    contract_type: str = ""
    settle_coin: str = ""
    leverage_filter: _Leverage = _Leverage()
    risk_parameters: _Risk = _Risk()
    funding_interval: int = 480


class _Result(msgspec.Struct, gc=False, rename="camel"):
    category: str = ""
    rows: list[msgspec.Raw] = msgspec.field(default_factory=list, name="list")
    next_page_cursor: str = ""


class _Reply(msgspec.Struct, gc=False, rename="camel"):
    ret_code: int
    ret_msg: str = ""
    result: _Result = msgspec.field(default_factory=_Result)


_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_row = msgspec.json.Decoder(_Row, strict=False).decode


def decode_instruments(reply: bytes, venue: str = VENUE) -> list[Instrument]:
    """Perpetuals and spot pairs of one page of the reply; other contracts are left out.

    The reply has neither fees nor margin tiers: base fees stand in, tiers are empty, and `assumed` says so. Raises
    DataError where the exchange refused, or a row is not what it should be.
    """
    try:
        answer = _decode_reply(reply)
    except NOT_JSON as error:
        raise DataError(f"instruments-info: {error}") from error
    if answer.ret_code != 0:
        raise DataError(f"instruments-info was refused: {answer.ret_code} {answer.ret_msg}")
    try:
        category = Category(answer.result.category)
    except ValueError:
        known = ", ".join(Category)
        raise DataError(f"instruments-info of {answer.result.category!r}: only {known} are known") from None
    return decode_rows(answer.result.rows, category, venue)


def decode_rows(rows: Sequence[msgspec.Raw], category: Category, venue: str = VENUE) -> list[Instrument]:
    """The same from the rows alone."""
    read = [_row(number, raw) for number, raw in enumerate(rows)]
    return [_instrument(category, row, venue) for row in read if _is_known(category, row)]


def _row(number: int, raw: msgspec.Raw) -> _Row:
    try:
        return _decode_row(raw)
    except NOT_JSON as error:
        raise DataError(f"instruments-info: row {number}: {error}") from error


def _is_known(category: Category, row: _Row) -> bool:
    return category is Category.SPOT or row.contract_type == _PERPETUAL


def _instrument(category: Category, row: _Row, venue: str) -> Instrument:
    lot, price, risk = row.lot_size_filter, row.price_filter, row.risk_parameters
    lot_size = lot.qty_step or lot.base_precision
    if lot_size is None:
        raise DataError(f"instruments-info: {row.symbol} has neither qtyStep nor basePrecision")
    is_linear = category is Category.LINEAR
    plain = Instrument(
        id=instrument_id(venue, category, row.symbol),
        category=category,
        base=row.base_coin,
        quote=row.quote_coin,
        settle=row.settle_coin or row.quote_coin,
        tick_size=price.tick_size,
        lot_size=lot_size,
        min_notional=Decimal(lot.min_notional_value or lot.min_order_amt or 0),
        max_leverage=row.leverage_filter.max_leverage,
        funding_interval_ns=Nanos(row.funding_interval * MINUTE),
        price_limit_x=Decimal(risk.price_limit_ratio_x or "0.01"),
        price_limit_y=Decimal(risk.price_limit_ratio_y or "0.02"),
        assumed=_ASSUMED_LINEAR if is_linear else _ASSUMED_SPOT,
    )
    limit = lot.max_limit_order_qty or lot.max_order_qty
    market = lot.max_mkt_order_qty or lot.max_market_order_qty
    return msgspec.structs.replace(
        plain,
        maker_fee=plain.maker_fee if is_linear else _SPOT_FEE,
        taker_fee=plain.taker_fee if is_linear else _SPOT_FEE,
        min_size=Lots(-plain.size_floor(-lot.min_order_qty)),
        max_limit_size=plain.max_limit_size if limit is None else plain.size_floor(limit),
        max_market_size=plain.max_market_size if market is None else plain.size_floor(market),
        min_price=plain.min_price if price.min_price is None else plain.price_up(price.min_price),
        max_price=plain.max_price if price.max_price is None else plain.price_down(price.max_price),
    )
