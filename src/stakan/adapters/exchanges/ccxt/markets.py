"""Markets of ccxt as instruments: linear perpetuals and spot pairs."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from stakan.adapters.exchanges.ccxt.library import decimal_of
from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import InstrumentId, instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import Lots

_DECIMAL_PLACES = 2
_TICK_SIZE = 4
"""`precisionMode` of ccxt; the third one, significant digits, is no grid."""
_ASSUMED = ("max_leverage", "margin_tiers", "funding_interval_ns", "price_limit_x", "price_limit_y")


class Market(msgspec.Struct, frozen=True):
    """An instrument and what ccxt calls it."""

    rules: Instrument
    symbol: str
    contract: Decimal
    """Base units of what ccxt counts in: 1, or the size of a contract."""


def markets(exchange: Any) -> dict[InstrumentId, Market]:
    """All active linear perpetuals and spot pairs of an exchange whose markets are loaded, on a known grid.

    The venue is ccxt's id of the exchange, the symbol the exchange's own. Raises DataError where the exchange states
    precision in significant digits, which is no grid.
    """
    if exchange.precisionMode not in (_DECIMAL_PLACES, _TICK_SIZE):
        raise DataError(f"{exchange.id}: precision in significant digits is no grid of prices")
    found = {}
    for market in exchange.markets.values():
        category = _category(market)
        if category is not None:
            made = _market(exchange, market, category)
            if made is not None:
                found[made.rules.id] = made
    return found


def _category(market: Mapping[str, Any]) -> Category | None:
    if market.get("active") is False:
        return None
    if market.get("swap") and market.get("linear"):
        return Category.LINEAR
    return Category.SPOT if market.get("spot") else None


def _market(exchange: Any, market: Mapping[str, Any], category: Category) -> Market | None:
    """None where the exchange does not say the grid."""
    precision = market.get("precision") or {}
    tick, lot = (_granularity(exchange, precision.get(name)) for name in ("price", "amount"))
    contract = (decimal_of(market.get("contractSize")) if category is Category.LINEAR else None) or Decimal(1)
    if not tick or not lot:
        return None
    limits = market.get("limits") or {}
    fees = {name: decimal_of(market.get(name.removesuffix("_fee"))) for name in ("maker_fee", "taker_fee")}
    plain = Instrument(
        id=instrument_id(exchange.id, category, market["id"].replace(":", "-")),
        category=category,
        base=market["base"],
        quote=market["quote"],
        settle=market.get("settle") or market["quote"],
        tick_size=tick,
        lot_size=lot * contract,
        min_notional=_limit(limits, "cost") or Decimal(0),
        max_leverage=Decimal(1),
        assumed=(*_ASSUMED, *(name for name, fee in fees.items() if fee is None)),
    )
    known = {name: fee for name, fee in fees.items() if fee is not None}
    smallest = (_limit(limits, "amount") or lot) * contract
    rules = msgspec.structs.replace(plain, min_size=Lots(-plain.size_floor(-smallest)), **known)
    return Market(rules, market["symbol"], contract)


def _granularity(exchange: Any, value: object) -> Decimal | None:
    number = decimal_of(value)
    if number is None or exchange.precisionMode == _TICK_SIZE:
        return number
    return Decimal(1).scaleb(-int(number))


def _limit(limits: Mapping[str, Any], name: str) -> Decimal | None:
    return decimal_of((limits.get(name) or {}).get("min"))
