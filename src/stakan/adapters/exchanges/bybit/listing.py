"""What Bybit lists and how it was traded in the last day, as procedures: instruments with their rules, day tickers."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.instruments import decode_rows
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.messages import FeeRow, amount
from stakan.adapters.exchanges.bybit.rest import Procedure, get, pages
from stakan.core.domain.ids import InstrumentId, instrument_id, split_instrument_id
from stakan.core.domain.instrument import Category, Instrument, MarginTier
from stakan.core.market.universe import DayTicker

_PERCENT = 10
"""`initialMargin` times `maxLeverage` is 1 where rates are shares and 100 where they are percent."""


class _TickerRow(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    symbol: str
    price24h_pcnt: str = ""
    turnover24h: str = ""
    bid1_price: str = ""
    ask1_price: str = ""
    cur_pre_listing_phase: str = ""


class _TierRow(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    symbol: str
    risk_limit_value: str
    maintenance_margin: str
    initial_margin: str
    max_leverage: str
    mm_deduction: str = ""


def listed(category: Category, venue: str) -> Procedure[dict[InstrumentId, Instrument]]:
    """All instruments that trade, fees and margin tiers assumed; raises as `rest.pages`."""
    request = get(
        Kind.QUERY, Group.MARKET, "/v5/market/instruments-info", is_signed=False, category=category, limit="1000"
    )
    rows = yield from pages(request, msgspec.Raw)
    return {rules.id: rules for rules in decode_rows(rows, category, venue)}


def day_tickers(known: Mapping[InstrumentId, Instrument], category: Category, venue: str) -> Procedure[list[DayTicker]]:
    """The last 24 hours of all instruments that are known; raises as `rest.pages`."""
    request = get(Kind.QUERY, Group.MARKET, "/v5/market/tickers", is_signed=False, category=category)
    rows = yield from pages(request, _TickerRow)
    return [
        DayTicker(
            instrument=instrument_id(venue, category, row.symbol),
            change=amount(row.price24h_pcnt),
            turnover=amount(row.turnover24h),
            bid=amount(row.bid1_price),
            ask=amount(row.ask1_price),
        )
        for row in rows
        if not row.cur_pre_listing_phase and instrument_id(venue, category, row.symbol) in known
    ]


def account_fees(category: Category) -> Procedure[dict[str, FeeRow]]:
    """What the account pays, by symbol; raises as `rest.pages`."""
    request = get(Kind.QUERY, Group.FEES, "/v5/account/fee-rate", category=category)
    return {row.symbol: row for row in (yield from pages(request, FeeRow))}


def completed(
    rules: Instrument, fees: Mapping[str, FeeRow], tiers: tuple[MarginTier, ...] = ()
) -> Procedure[Instrument]:
    """The same instrument with margin tiers, asked for unless given, and its fees where they are known.

    Raises as `rest.pages`.
    """
    symbol = split_instrument_id(rules.id)[2]
    if rules.is_linear and not tiers:
        tiers = yield from _tiers(symbol)
    return _with(rules, tiers, fees.get(symbol))


def all_completed(instruments: Iterable[Instrument], *, with_fees: bool) -> Procedure[list[Instrument]]:
    """The same instruments, `completed` one after the other."""
    wanted = list(instruments)
    fees = (yield from account_fees(wanted[0].category)) if with_fees and wanted else {}
    found: list[Instrument] = []
    for rules in wanted:
        found += [(yield from completed(rules, fees))]
    return found


def _tiers(symbol: str) -> Procedure[tuple[MarginTier, ...]]:
    request = get(
        Kind.QUERY,
        Group.MARKET,
        "/v5/market/risk-limit",
        is_signed=False,
        category=Category.LINEAR,
        symbol=symbol,
    )
    rows = yield from pages(request, _TierRow)
    tiers = [_tier(row) for row in rows if row.symbol == symbol]
    return tuple(sorted(tiers, key=lambda tier: tier.notional_limit))


def _tier(row: _TierRow) -> MarginTier:
    rate, leverage = amount(row.maintenance_margin), amount(row.max_leverage)
    # The docs show shares in one place and percent in another.
    is_percent = amount(row.initial_margin) * leverage > _PERCENT
    return MarginTier(
        notional_limit=amount(row.risk_limit_value),
        maintenance_rate=rate / 100 if is_percent else rate,
        deduction=amount(row.mm_deduction),
        max_leverage=leverage,
    )


def _with(rules: Instrument, tiers: tuple[MarginTier, ...], fees: FeeRow | None) -> Instrument:
    known: dict[str, tuple[MarginTier, ...] | Decimal] = {}
    if tiers:
        known["margin_tiers"] = tiers
    if fees is not None:
        known["maker_fee"], known["taker_fee"] = amount(fees.maker_fee_rate), amount(fees.taker_fee_rate)
    assumed = tuple(name for name in rules.assumed if name not in known)
    return msgspec.structs.replace(rules, assumed=assumed, **known)
