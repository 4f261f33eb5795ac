"""Names of public topics."""

from collections.abc import Collection
from typing import NamedTuple

from stakan.apps.exchange.bars import INTERVALS
from stakan.apps.exchange.depth import INTERVALS_NS
from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused

DEPTHS = {str(depth): depth for depth in INTERVALS_NS}
PLAIN = ("publicTrade", "tickers", "allLiquidation", "priceLimit")
"""Topics that have nothing but a symbol."""


class Topic(NamedTuple):
    """A topic in parts: `kline.5.BTCUSDT` is ("kline", "5", "BTCUSDT")."""

    kind: str
    argument: str
    symbol: str


def parse(name: str, symbols: Collection[str]) -> Topic:
    """Parts of a topic's name; raises Refused with the protocol's text where there is no such topic or symbol."""
    match name.split("."):
        case ["orderbook", depth, symbol] if depth in DEPTHS and symbol in symbols:
            return Topic("orderbook", depth, symbol)
        case ["kline", interval, symbol] if interval in INTERVALS and symbol in symbols:
            return Topic("kline", interval, symbol)
        case [kind, symbol] if kind in PLAIN and symbol in symbols:
            return Topic(kind, "", symbol)
        case _:
            raise Refused(PARAMETER_ERROR, f"error:handler not found,topic:{name}")
