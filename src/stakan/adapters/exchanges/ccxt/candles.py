"""Candles of other venues by ccxt."""

from decimal import Decimal
from typing import Any

from stakan.adapters.exchanges.ccxt.library import any_error, decimal_of, network_error, text_of
from stakan.adapters.exchanges.ccxt.markets import Market
from stakan.adapters.wire import grid_of
from stakan.core.domain.errors import DataError, RequestRefused, VenueUnavailable
from stakan.core.domain.events import Candle
from stakan.core.domain.units import MILLISECOND, SECOND, Nanos

_PER_PAGE = 1_000


async def fetch_candles(exchange: Any, market: Market, timeframe: str, start: int, stop: int, now: int) -> list[Candle]:
    """Closed candles that open in [start, stop), oldest first; times in nanoseconds, `timeframe` as ccxt names it.

    The bar that is open at `now` is left out, and so are bars that the venue leaves out because nothing was traded.
    ccxt does not tell turnover: it is 0. Raises VenueUnavailable where the venue does not answer, RequestRefused where
    it says no, DataError for a number off the grid.
    """
    interval = Nanos(int(exchange.parse_timeframe(timeframe)) * SECOND)
    found: dict[int, Candle] = {}
    since = start
    while since < min(stop, now):
        rows = await _page(exchange, market, timeframe, since)
        news = [row for row in rows if since <= row[0] * MILLISECOND < stop]
        for row in news:
            candle = _candle(market, interval, row)
            if candle.ts_event <= now:
                found[candle.open_ts] = candle
        if not news:
            break
        since = max(row[0] for row in news) * MILLISECOND + interval
    return [found[opened] for opened in sorted(found)]


async def _page(exchange: Any, market: Market, timeframe: str, since: int) -> list[Any]:
    try:
        rows: list[Any] = await exchange.fetch_ohlcv(market.symbol, timeframe, since // MILLISECOND, _PER_PAGE)
    except network_error() as error:
        raise VenueUnavailable(f"{market.rules.id}: {type(error).__name__}: {error}") from error
    except any_error() as error:
        raise RequestRefused(f"{market.rules.id}: {type(error).__name__}: {error}") from error
    return rows


def _candle(market: Market, interval: Nanos, row: list[Any]) -> Candle:
    rules, grid = market.rules, grid_of(market.rules)
    opened, *prices, volume = row
    amount = decimal_of(volume)
    if len(prices) != 4 or amount is None:
        raise DataError(f"{rules.id}: a candle should be time, open, high, low, close and volume, got {row!r}")
    first, high, low, last = (grid.ticks(text_of(price, f"{rules.id}: price")) for price in prices)
    end = opened * MILLISECOND + interval
    return Candle(
        ts_event=end,
        ts_recv=end,
        instrument=rules.id,
        interval_ns=interval,
        open_ts=Nanos(opened * MILLISECOND),
        open=first,
        high=high,
        low=low,
        close=last,
        volume=grid.lots(f"{amount * market.contract:f}"),
        turnover=Decimal(0),
    )
