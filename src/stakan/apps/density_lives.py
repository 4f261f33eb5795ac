"""How long densities of recorded markets live: the market as an engine sees it, without anything that trades."""

import msgspec

from stakan.apps.settings import Settings
from stakan.apps.sources import Source
from stakan.apps.wiring import engine_config
from stakan.core.domain.events import BookDelta, BookSnapshot, FeedDown, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import SECOND
from stakan.core.market.picture import MarketPicture
from stakan.core.market.survival import DensityLives, Group

_KEPT = 2**20
"""Ends per instrument: days of a busy one."""


class LivesView(msgspec.Struct, frozen=True, kw_only=True):
    """Lives of the densities of one instrument."""

    instrument: InstrumentId
    min_notional: float
    """Quote currency from which on a level can be a density; edges between classes of size are multiples of it."""
    seconds: float
    """Exchange time from the first book message to the last."""
    groups: list[Group]
    """All, by size, by distance, by both."""


def lives_of(source: Source, settings: Settings) -> list[LivesView]:
    """Lives of all densities in a source, under the configured thresholds; instruments in their order.

    Raises ConfigError where the configuration cannot work, DataError where the source is not sound.
    """
    config = engine_config(settings, "", source.instruments)
    markets = {}
    began: dict[InstrumentId, int] = {}
    for key, rules in source.instruments.items():
        params = config.densities_of(key)
        markets[key] = market = MarketPicture.start(rules, params, config.candle_interval_ns)
        market.lives = DensityLives.start(market.densities.value_unit, params, _KEPT)
    for window in source.history.windows():
        for event in window.events():
            market = markets[event.instrument]
            match event:
                case BookDelta() | BookSnapshot():
                    began.setdefault(event.instrument, event.ts_event)
                    market.apply_book(event)
                case TradePrint():
                    market.apply_print(event)
                case FeedDown():
                    market.interrupt()
                case _:
                    pass
    return [
        LivesView(
            instrument=key,
            min_notional=config.densities_of(key).min_notional,
            seconds=(market.densities.book_ts - began.get(key, market.densities.book_ts)) / SECOND,
            groups=market.lives.groups(market.densities.book_ts),
        )
        for key, market in markets.items()
    ]
