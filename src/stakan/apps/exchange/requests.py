"""Public REST requests: `/v5/market/*`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from stakan.apps.exchange import listing
from stakan.apps.exchange.bars import INTERVALS, Bar, BarSeries
from stakan.apps.exchange.board import Board
from stakan.apps.exchange.numbers import plain, whole
from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused
from stakan.apps.exchange.symbol import SymbolBoard
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND

Query = Mapping[str, str]
Result = dict[str, Any]
_CATEGORIES = ("linear", "spot", "inverse", "option")
_RISK_SYMBOLS_PER_PAGE = 15
_INTEREST_TIMES = {"5min": 5, "15min": 15, "30min": 30, "1h": 60, "4h": 240, "1d": 1440}
"""Minutes between two rows of `open-interest`."""
_OF_DELIVERY = {"predictedDeliveryPrice": "", "basisRate": "", "deliveryFeeRate": "", "deliveryTime": "0"}
_OF_DELIVERY |= {"basis": "", "basisRateYear": ""}


class MarketRequests:
    """Answers in Bybit's field names, ready to encode as `result` of the envelope.

    Categories other than linear exist and are empty.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._answers: dict[str, Callable[[Query, int], Result]] = {
            "/v5/market/time": self._time,
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/orderbook": self._order_book,
            "/v5/market/rpi_orderbook": self._rpi_order_book,
            "/v5/market/tickers": self._tickers,
            "/v5/market/kline": self._klines,
            "/v5/market/mark-price-kline": lambda query, _: self._price_klines(query, lambda board: board.mark_bars),
            "/v5/market/index-price-kline": lambda query, _: self._price_klines(query, lambda board: board.index_bars),
            "/v5/market/premium-index-price-kline": lambda query, _: self._price_klines(
                query, lambda board: board.premium_bars
            ),
            "/v5/market/recent-trade": self._recent_trades,
            "/v5/market/funding/history": self._funding_history,
            "/v5/market/risk-limit": self._risk_limits,
            "/v5/market/price-limit": self._price_limit,
            "/v5/market/open-interest": self._open_interest,
        }

    def answer(self, path: str, query: Query, now: int) -> Result:
        """The `result` of a GET, e.g. of `/v5/market/tickers`.

        Raises Refused with the protocol's code; KeyError where the path is not one of `paths`.
        """
        return self._answers[path](query, now)

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that it answers."""
        return tuple(self._answers)

    # --- one each ---------------------------------------------------------------------------------------------------

    def _time(self, _query: Query, now: int) -> Result:
        return {"timeSecond": str(now // SECOND), "timeNano": str(now)}

    def _instruments(self, query: Query, _now: int) -> Result:
        category = _category(query)
        wanted, base = query.get("symbol", ""), query.get("baseCoin", "")
        limit, first = _whole(query, "limit", 500, 1000), _cursor(query)
        if wanted and category == "linear":
            self._symbol(query)
        rows = [
            listing.info(board.rules, number)
            for number, board in enumerate(self._linear(category), start=1)
            if wanted in ("", board.symbol) and base in ("", board.rules.base)
        ]
        if query.get("status", "Trading") != "Trading":
            rows = []
        page = rows[first : first + limit]
        return {"category": category, "list": page, "nextPageCursor": _next_cursor(first + limit, len(rows))}

    def _order_book(self, query: Query, now: int) -> Result:
        limit = _whole(query, "limit", 25, 1000)
        return self._levels(query, limit, now, rpi=())

    def _rpi_order_book(self, query: Query, now: int) -> Result:
        """Sources do not say what is RPI in the book: all that is visible is not."""
        _required(query, "limit")
        limit = _whole(query, "limit", 50, 50)
        board = self._symbol(query)
        return self._levels(query, limit, now, rpi=(board.formats.size.text(0),))

    def _levels(self, query: Query, limit: int, now: int, rpi: tuple[str, ...]) -> Result:
        board = self._symbol(query)
        topic = board.deep_book()
        price, size = board.formats.price.text, board.formats.size.text
        bids, asks = (
            [[price(ticks), size(lots), *rpi] for ticks, lots in rows[:limit].tolist()] for rows in topic.levels()
        )
        ts, cts = now // MILLISECOND, topic.cts // MILLISECOND
        return {"s": board.symbol, "b": bids, "a": asks, "ts": ts, "u": topic.u, "seq": topic.seq, "cts": cts}

    def _tickers(self, query: Query, now: int) -> Result:
        category = _category(query)
        boards = self._linear(category)
        if query.get("symbol") and category == "linear":
            boards = [self._symbol(query)]
        return {"category": category, "list": [board.ticker_now(now) | _OF_DELIVERY for board in boards]}

    def _klines(self, query: Query, _now: int) -> Result:
        board = self._symbol(query)
        price, size, value = board.formats.price.text, board.formats.size.text, board.formats.value.text
        rows = [
            [
                str(bar.start // MILLISECOND),
                *(price(int(number)) for number in (bar.open, bar.high, bar.low, bar.close)),
                size(bar.size),
                value(bar.value),
            ]
            for bar in _bars(query, board.bars)
        ]
        return {"category": "linear", "symbol": board.symbol, "list": rows}

    def _price_klines(self, query: Query, series: Callable[[SymbolBoard], BarSeries]) -> Result:
        board = self._symbol(query)
        rows = [
            [str(bar.start // MILLISECOND), *(f"{number:f}" for number in (bar.open, bar.high, bar.low, bar.close))]
            for bar in _bars(query, series(board))
        ]
        return {"category": "linear", "symbol": board.symbol, "list": rows}

    def _recent_trades(self, query: Query, _now: int) -> Result:
        board = self._symbol(query)
        rows = [
            {
                "execId": str(row.id),
                "symbol": board.symbol,
                "price": row.price,
                "size": row.size,
                "side": row.side,
                "time": str(row.ts),
                "isBlockTrade": False,
                "isRPITrade": row.is_rpi,
                "seq": str(row.seq),
            }
            for row in islice(reversed(board.prints), _whole(query, "limit", 500, 1000))
        ]
        return {"category": "linear", "list": rows}

    def _funding_history(self, query: Query, _now: int) -> Result:
        board = self._symbol(query)
        if query.get("startTime") and not query.get("endTime"):
            raise Refused(PARAMETER_ERROR, "params error: endTime is required with startTime")
        found = _between(query, board.prices.settlements, "startTime", "endTime")
        rows = [
            {"symbol": board.symbol, "fundingRate": plain(rate), "fundingRateTimestamp": str(ts // MILLISECOND)}
            for ts, rate in islice(found, _whole(query, "limit", 200, 200))
        ]
        return {"category": "linear", "list": rows}

    def _risk_limits(self, query: Query, _now: int) -> Result:
        category, first = _category(query), _cursor(query)
        boards = self._linear(category)
        numbered = list(enumerate(boards))
        if query.get("symbol") and category == "linear":
            wanted = self._symbol(query)
            numbered = [(number, board) for number, board in numbered if board is wanted]
        page = numbered[first : first + _RISK_SYMBOLS_PER_PAGE]
        rows = [row for number, board in page for row in listing.tiers(board.rules, 1 + 100 * number)]
        cursor = _next_cursor(first + _RISK_SYMBOLS_PER_PAGE, len(numbered))
        return {"category": category, "list": rows, "nextPageCursor": cursor}

    def _price_limit(self, query: Query, now: int) -> Result:
        board = self._symbol(query)
        limits = board.limits() or {"symbol": board.symbol, "buyLmt": "", "sellLmt": ""}
        return {**limits, "ts": str(now // MILLISECOND)}

    def _open_interest(self, query: Query, _now: int) -> Result:
        """One row per interval: the first that is known in it."""
        board = self._symbol(query)
        minutes = _INTEREST_TIMES.get(_required(query, "intervalTime"))
        if minutes is None:
            raise Refused(PARAMETER_ERROR, "params error: intervalTime invalid")
        limit, first = _whole(query, "limit", 50, 200), _cursor(query)
        first_of = {ts // (minutes * MINUTE): value for ts, value in board.interest}
        kept = ((slot * minutes * MINUTE, value) for slot, value in first_of.items())
        found = list(_between(query, kept, "startTime", "endTime"))
        rows = [
            {"openInterest": plain(value), "singleOpenInterest": plain(value / 2), "timestamp": str(ts // MILLISECOND)}
            for ts, value in found[first : first + limit]
        ]
        cursor = _next_cursor(first + limit, len(found))
        return {"category": "linear", "symbol": board.symbol, "list": rows, "nextPageCursor": cursor}

    # --- what they share --------------------------------------------------------------------------------------------

    def _linear(self, category: str) -> list[SymbolBoard]:
        return list(self._board.symbols.values()) if category == "linear" else []

    def _symbol(self, query: Query) -> SymbolBoard:
        category = query.get("category", "linear")
        if category not in _CATEGORIES:
            raise Refused(PARAMETER_ERROR, "params error: Category is invalid")
        board = self._board.symbols.get(_required(query, "symbol")) if category == "linear" else None
        if board is None:
            raise Refused(PARAMETER_ERROR, "params error: Symbol Is Invalid")
        return board


def _category(query: Query) -> str:
    category = query.get("category", "")
    if category not in _CATEGORIES:
        raise Refused(PARAMETER_ERROR, "params error: Category is invalid")
    return category


def _required(query: Query, name: str) -> str:
    text = query.get(name, "")
    if not text:
        raise Refused(PARAMETER_ERROR, f"params error: {name} is required")
    return text


def _whole(query: Query, name: str, otherwise: int, most: int) -> int:
    """A number from 1 to `most`."""
    text = query.get(name, "")
    if not text:
        return otherwise
    number = whole(text, 9)
    if number is None or not 1 <= number <= most:
        raise Refused(PARAMETER_ERROR, f"params error: {name} invalid")
    return number


def _cursor(query: Query) -> int:
    """How many rows come before the page; raises Refused where the exchange did not make the cursor."""
    text = query.get("cursor", "")
    if not text:
        return 0
    number = whole(text, 9)
    if number is None:
        raise Refused(PARAMETER_ERROR, "params error: cursor invalid")
    return number


def _next_cursor(after: int, count: int) -> str:
    return str(after) if after < count else ""


def _time(query: Query, name: str, otherwise: int) -> int:
    """Nanoseconds of a time in milliseconds."""
    text = query.get(name, "")
    if not text:
        return otherwise
    number = whole(text, 13)
    if number is None:
        raise Refused(PARAMETER_ERROR, f"params error: {name} invalid")
    return number * MILLISECOND


def _between(query: Query, rows: Iterable[tuple[int, Any]], start: str, end: str) -> Iterator[tuple[int, Any]]:
    first, last = _time(query, start, 0), _time(query, end, 2**62)
    return (row for row in rows if first <= row[0] <= last)


def _bars(query: Query, series: BarSeries) -> list[Bar]:
    """Newest first; with `start` alone the first ones after it, as the exchange does."""
    interval = _required(query, "interval")
    if interval not in INTERVALS:
        raise Refused(PARAMETER_ERROR, "params error: Invalid period!")
    first, last = _time(query, "start", 0), _time(query, "end", 2**62)
    limit = _whole(query, "limit", 200, 1000)
    found = [bar for bar in series.newest(interval) if first <= bar.start <= last]
    return found[-limit:] if query.get("start") and not query.get("end") else found[:limit]
