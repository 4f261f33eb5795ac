"""Which instruments a program works on, from the configuration and what the exchange lists."""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from types import MappingProxyType

from stakan.adapters import instruments as instrument_files
from stakan.adapters.exchanges.bybit.listing import account_fees, completed, day_tickers, listed
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.apps.settings import Settings
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Category, Instrument, MarginTier
from stakan.core.market.universe import Ranking, UniverseRules, chosen

_LIST = "list"


class Universe:
    """What the exchange lists, and the part of it that the configuration wants."""

    def __init__(
        self, settings: Settings, client: MarketClient, is_wanted: Callable[[Instrument], bool] = lambda _: True
    ) -> None:
        """What `is_wanted` refuses counts as not listed."""
        self._settings = settings
        self._client = client
        self._is_wanted = is_wanted
        self.listed: Mapping[InstrumentId, Instrument] = {}
        """All that trades; fees and margin tiers assumed."""

    @property
    def is_ranked(self) -> bool:
        """Whether it changes with the market."""
        return not self._settings.instruments

    async def load(self) -> None:
        """Ask what is listed; raises VenueError, and ConfigError where the configuration names nothing."""
        if self.is_ranked and self._settings.universe.ranking == _LIST:
            raise ConfigError("no instruments: name some in `instruments`, or set universe.ranking")
        venue = self._client.environment.venue
        found = await self._client.carry_out(listed(Category.LINEAR, venue))
        if any(Category.SPOT in name.split(":") for name in self._settings.instruments):
            found |= await self._client.carry_out(listed(Category.SPOT, venue))
        self.listed = {key: rules for key, rules in found.items() if self._is_wanted(rules)}

    async def choose(self, current: Collection[InstrumentId] = ()) -> tuple[InstrumentId, ...]:
        """What is wanted now; `current` is what was wanted before.

        Raises ConfigError for a name that is not listed, DataError where a ranking leaves nothing.
        """
        settings = self._settings
        if not self.is_ranked:
            return tuple(dict.fromkeys(instrument_files.resolve(name, self.listed) for name in settings.instruments))
        venue = self._client.environment.venue
        tickers = await self._client.carry_out(day_tickers(self.listed, Category.LINEAR, venue))
        found = chosen(tickers, rules_of(settings), current)
        if not found:
            raise DataError(f"none of {len(tickers)} instruments passes universe.min_turnover and max_spread_bps")
        return found

    async def rules(
        self, instruments: Collection[InstrumentId], known: Mapping[InstrumentId, Instrument] = MappingProxyType({})
    ) -> list[Instrument]:
        """Rules of listed instruments with margin tiers, and with keys the account's fees.

        Tiers are a question each: those of `known` are taken from there.
        """
        wanted = [self.listed[name] for name in instruments]
        has_fees = self._client.keys is not None and wanted
        fees = await self._client.carry_out(account_fees(wanted[0].category)) if has_fees else {}
        return await self._client.carry_out_all(completed(rules, fees, _tiers(known.get(rules.id))) for rules in wanted)


def _tiers(known: Instrument | None) -> tuple[MarginTier, ...]:
    return () if known is None or "margin_tiers" in known.assumed else known.margin_tiers


def rules_of(settings: Settings) -> UniverseRules:
    """The ranking of the configuration."""
    universe = settings.universe
    return UniverseRules(
        ranking=Ranking(universe.ranking),
        size=universe.size,
        keep_within=universe.keep_within,
        min_turnover=universe.min_turnover,
        max_spread_bps=Decimal(str(universe.max_spread_bps)),
    )
