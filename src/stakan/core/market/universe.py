"""Which instruments are worth watching: a ranking of the last 24 hours, with filters and without flutter."""

from collections.abc import Collection, Iterable
from decimal import Decimal
from enum import StrEnum

import msgspec

from stakan.core.domain.ids import InstrumentId

_BPS = 10_000


class Ranking(StrEnum):
    """By what instruments are ranked."""

    GAINERS = "gainers"
    LOSERS = "losers"
    VOLUME = "volume"
    """Turnover in quote currency."""


class DayTicker(msgspec.Struct, frozen=True, kw_only=True):
    """The last 24 hours of one instrument; prices and turnover in quote currency."""

    instrument: InstrumentId
    change: Decimal
    """Share of the price 24 hours ago: 0.05 is five percent up."""
    turnover: Decimal
    bid: Decimal
    """0 where there is none."""
    ask: Decimal


class UniverseRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the universe."""

    ranking: Ranking
    size: int = 20
    keep_within: int = 30
    """One that is in stays while its rank is not worse than this, so that two rivals do not take turns."""
    min_turnover: Decimal = Decimal(10_000_000)
    max_spread_bps: Decimal = Decimal(5)
    """Best ask over best bid, in hundredths of a percent."""


def ranked(tickers: Iterable[DayTicker], rules: UniverseRules) -> list[InstrumentId]:
    """All instruments that are liquid enough, best first; equal ones by their ids."""
    liquid = [ticker for ticker in tickers if _is_liquid(ticker, rules)]
    return [ticker.instrument for ticker in sorted(liquid, key=lambda ticker: (_key(ticker, rules), ticker.instrument))]


def chosen(
    tickers: Iterable[DayTicker], rules: UniverseRules, current: Collection[InstrumentId] = ()
) -> tuple[InstrumentId, ...]:
    """The universe now, best first: of `current` those that rank within `keep_within`, then the best others.

    What is no longer liquid goes at once, whatever its rank was.
    """
    order = ranked(tickers, rules)
    staying = [name for name in order[: max(rules.size, rules.keep_within)] if name in current][: rules.size]
    room = rules.size - len(staying)
    members = {*staying, *[name for name in order if name not in staying][:room]}
    return tuple(name for name in order if name in members)


def _is_liquid(ticker: DayTicker, rules: UniverseRules) -> bool:
    bid, ask = ticker.bid, ticker.ask
    if bid <= 0 or ask < bid or ticker.turnover < rules.min_turnover:
        return False
    return (ask - bid) * _BPS <= rules.max_spread_bps * bid


def _key(ticker: DayTicker, rules: UniverseRules) -> Decimal:
    match rules.ranking:
        case Ranking.GAINERS:
            return -ticker.change
        case Ranking.LOSERS:
            return ticker.change
        case Ranking.VOLUME:
            return -ticker.turnover
