"""What is traded here: instruments of a source under Bybit's names, and their rules as the protocol tells them."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from stakan.adapters.synthetic.config import SyntheticSymbol, demo_symbols, perpetual
from stakan.apps.exchange.numbers import plain
from stakan.apps.exchange.prices import funding_cap
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.ids import InstrumentId, instrument_id, split_instrument_id
from stakan.core.domain.instrument import Category, Instrument, MarginTier
from stakan.core.domain.units import MINUTE, Lots, Ticks

VENUE = "bybit"
_UNLIMITED = 2**62
_MAX_PRICE = Ticks(19_999_998)
"""In ticks, where the source's rules have no limit: Bybit's for most contracts."""
_MAX_LIMIT = Lots(10_000_000)
_MAX_MARKET = Lots(2_000_000)
_LAUNCHED = 1_585_526_400_000
"""`launchTime` of all symbols, milliseconds: the exchange does not know when a source's contract began."""
_ONE_TIER = (Decimal("0.005"), Decimal(0))
_MADE_UP: tuple[tuple[str, str], ...] = (
    *(("XRP", "2.10"), ("DOGE", "0.18"), ("ADA", "0.62"), ("LINK", "14.2"), ("AVAX", "27.5"), ("LTC", "82")),
    *(("DOT", "5.4"), ("UNI", "8.1"), ("ATOM", "6.3"), ("NEAR", "4.4"), ("APT", "7.2"), ("ARB", "0.85")),
    *(("OP", "1.55"), ("SUI", "2.9"), ("FIL", "4.1"), ("INJ", "19.5"), ("TIA", "5.2"), ("SEI", "0.34")),
    *(("AAVE", "155"), ("RUNE", "4.7"), ("LDO", "1.9"), ("GALA", "0.029"), ("IMX", "1.3"), ("GRT", "0.17")),
    *(("MKR", "1620"), ("XLM", "0.24"), ("ETC", "21"), ("BCH", "380"), ("HBAR", "0.19"), ("ALGO", "0.21")),
)
"""Base coins of made-up symbols and where their prices start."""
_TICKS_OF_PRICE = 20_000
"""A made-up symbol has at least so many ticks in its price: the generator needs room below it."""


def list_all(instruments: Mapping[InstrumentId, Instrument]) -> dict[InstrumentId, Instrument]:
    """Linear contracts of a source as they are listed here, by the source's id; spot pairs are left out.

    `BTCUSDT` of any venue is `bybit:linear:BTCUSDT`. What the source leaves unlimited gets a limit of Bybit's size, and
    a contract without margin tiers gets one. Raises ConfigError where two are of one name, or nothing is left.
    """
    listed: dict[InstrumentId, Instrument] = {}
    for source, rules in instruments.items():
        if rules.category is Category.LINEAR:
            listed[source] = _listed(source, rules)
    names = [rules.id for rules in listed.values()]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"instruments: {', '.join(sorted(twice))} comes from two venues: leave one out")
    if not listed:
        raise ConfigError("instruments: the exchange lists linear contracts, and the source has none")
    return listed


def by_symbol(listed: Iterable[Instrument]) -> dict[str, Instrument]:
    """Listed instruments by their symbol, in their order."""
    return {symbol_of(rules.id): rules for rules in listed}


def symbol_of(instrument: InstrumentId) -> str:
    """`BTCUSDT` of `bybit:linear:BTCUSDT`."""
    return split_instrument_id(instrument)[2]


def synthetic_symbols(count: int) -> tuple[SyntheticSymbol, ...]:
    """So many generated symbols: the demo's three first, then others under plausible names; ConfigError beyond 1000."""
    if not 1 <= count <= 1000:
        raise ConfigError(f"symbols: must be from 1 to 1000, got {count}")
    made = demo_symbols()[:count]
    return made + tuple(_made_up(number) for number in range(count - len(made)))


def info(rules: Instrument, number: int) -> dict[str, object]:
    """A row of `instruments-info`; `number` is the symbol's id."""
    cap = plain(funding_cap(rules))
    limit = plain(rules.size(rules.max_limit_size))
    return {
        "symbol": symbol_of(rules.id),
        "symbolId": number,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": rules.base,
        "quoteCoin": rules.quote,
        "settleCoin": rules.settle,
        "launchTime": str(_LAUNCHED),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(max(0, -int(rules.tick_size.as_tuple().exponent))),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": plain(rules.max_leverage.quantize(Decimal("0.01"))),
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": plain(rules.price(rules.min_price)),
            "maxPrice": plain(rules.price(rules.max_price)),
            "tickSize": plain(rules.tick_size),
        },
        "lotSizeFilter": {
            "maxOrderQty": limit,
            "minOrderQty": plain(rules.size(rules.min_size)),
            "qtyStep": plain(rules.lot_size),
            "postOnlyMaxOrderQty": limit,
            "maxMktOrderQty": plain(rules.size(rules.max_market_size)),
            "minNotionalValue": plain(rules.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": rules.funding_interval_ns // MINUTE,
        "copyTrading": "none",
        "upperFundingRate": cap,
        "lowerFundingRate": f"-{cap}",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {
            "priceLimitRatioX": plain(rules.price_limit_x),
            "priceLimitRatioY": plain(rules.price_limit_y),
        },
        "displayName": "",
        "symbolType": "",
        "forbidUplWithdrawal": False,
    }


def tiers(rules: Instrument, first: int) -> list[dict[str, object]]:
    """Rows of `risk-limit`, their ids counted from `first`; rates are shares (0.005 is half a per cent)."""
    return [
        {
            "id": first + number,
            "symbol": symbol_of(rules.id),
            "riskLimitValue": plain(tier.notional_limit),
            "maintenanceMargin": plain(tier.maintenance_rate),
            "initialMargin": plain((1 / tier.max_leverage).quantize(Decimal("0.000001")).normalize()),
            "isLowestRisk": int(number == 0),
            "maxLeverage": plain(tier.max_leverage.quantize(Decimal("0.01"))),
            "mmDeduction": plain(tier.deduction) if tier.deduction else "",
        }
        for number, tier in enumerate(rules.margin_tiers)
    ]


def _listed(source: InstrumentId, rules: Instrument) -> Instrument:
    rate, deduction = _ONE_TIER
    tier = MarginTier(
        notional_limit=Decimal(10_000_000), maintenance_rate=rate, deduction=deduction, max_leverage=rules.max_leverage
    )
    return msgspec.structs.replace(
        rules,
        id=instrument_id(VENUE, Category.LINEAR, symbol_of(source)),
        max_price=_MAX_PRICE if rules.max_price >= _UNLIMITED else rules.max_price,
        max_limit_size=_MAX_LIMIT if rules.max_limit_size >= _UNLIMITED else rules.max_limit_size,
        max_market_size=_MAX_MARKET if rules.max_market_size >= _UNLIMITED else rules.max_market_size,
        margin_tiers=rules.margin_tiers or (tier,),
    )


def _made_up(number: int) -> SyntheticSymbol:
    """The n-th symbol after the demo's: names repeat with a number, prices and tempers vary with it."""
    which, again = number % len(_MADE_UP), number // len(_MADE_UP)
    base, start = _MADE_UP[which]
    name = base + (str(again + 1) if again else "")
    price = Decimal(start) * (100 + 7 * again) / 100
    tick = Decimal(1).scaleb((price / _TICKS_OF_PRICE).adjusted())
    lot = Decimal(1).scaleb((Decimal(20) / price).adjusted() - 1)
    return SyntheticSymbol(
        instrument=perpetual(name, plain(tick), plain(lot), 200_000),
        start_price=price.quantize(tick),
        volatility_bp=0.7 + 0.05 * (number % 9),
        messages_per_second=8.0 + number % 7,
        orders_per_second=70.0 + 10.0 * (number % 6),
        takers_per_second=2.0 + 0.25 * (number % 8),
        order_lots=300,
        taker_lots=100,
    )
