"""Where the exchange's market comes from: the generator without an end, or a recording at some speed."""

from typing import NamedTuple

import msgspec

from stakan.adapters.synthetic.config import SyntheticConfig
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.apps.exchange.listing import by_symbol, list_all
from stakan.apps.exchange.market import Feed, LiveMarket, Markets
from stakan.apps.sources import Source
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND, Nanos


class Market(NamedTuple):
    """A feed and what is traded in it."""

    feed: Feed
    listed: dict[str, Instrument]
    """Rules by symbol."""


def generated(config: SyntheticConfig, start: int, *, speed: float = 1.0, window_ns: int = SECOND) -> Market:
    """A synthetic market without an end, whatever duration is configured; ConfigError where speed is not positive.

    Every symbol is generated apart, `window_ns` at a time, so that the exchange never stops for all of them at once;
    together they are the market of the configuration, correlations included. Whoever has no clients in real time takes
    longer windows, which cost less.
    """
    markets: list[LiveMarket] = []
    listed: dict[InstrumentId, Instrument] = {}
    for symbol in config.symbols:
        alone = msgspec.structs.replace(config, symbols=(symbol,), window_ns=Nanos(window_ns))
        source = SyntheticMarket(alone, is_endless=True)
        known = list_all(source.instruments)
        markets.append(LiveMarket(source, known, start, speed=speed))
        listed |= known
    return Market(Markets(markets), by_symbol(listed.values()))


def recorded(source: Source, start: int, *, speed: float = 1.0, loop: bool = False) -> Market:
    """A recording, or any other source that ends; ConfigError where it has nothing that can be listed."""
    listed = list_all(source.instruments)
    feed = LiveMarket(source.history, listed, start, speed=speed, loop=loop)
    return Market(feed, by_symbol(listed.values()))
