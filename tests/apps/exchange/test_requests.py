"""Answers to public requests: their shape is the recorded exchange's, their content the board's."""

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from tests.apps.exchange.shown import BTC, START, Events, Exchange, generated, top
from tests.core.market.builders import a_print, a_snapshot, an_instrument

from stakan.adapters.exchanges.bybit.instruments import decode_instruments
from stakan.adapters.synthetic.config import SyntheticConfig, demo_instruments
from stakan.apps.exchange.listing import VENUE, by_symbol, list_all, synthetic_symbols
from stakan.apps.exchange.refusal import Refused
from stakan.apps.exchange.requests import MarketRequests
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import Ticker, TradePrint
from stakan.core.domain.instrument import Category
from stakan.core.domain.units import HOUR, MILLISECOND, MINUTE, SECOND

LINEAR = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture(scope="module")
def made():
    source = generated(2, seconds=130)
    return Exchange(source, source.instruments).run(130, step=100 * MILLISECOND)


@pytest.fixture(scope="module")
def ask(made):
    requests = MarketRequests(made.board)

    def answer(name, **query):
        result = requests.answer(f"/v5/market/{name}", {**LINEAR, **query}, made.now)
        assert msgspec.json.encode(result)
        return result

    return answer


def test_time(ask, made):
    assert ask("time") == {"timeSecond": str(made.now // SECOND), "timeNano": str(made.now)}


def test_the_book_is_the_best_levels_and_matches_the_deep_topic(ask, made):
    board = made.board.symbols["BTCUSDT"]
    for limit in (1, 25, 1000):
        result = ask("orderbook", limit=str(limit))
        price, size = board.formats.price.text, board.formats.size.text
        bids, asks = top(board.book, limit)
        assert result["b"] == [[price(ticks), size(lots)] for ticks, lots in bids]
        assert result["a"] == [[price(ticks), size(lots)] for ticks, lots in asks]
    assert len(ask("orderbook")["b"]) == 25
    made.open("orderbook.1000.BTCUSDT")
    last = msgspec.json.decode(made.frames["orderbook.1000.BTCUSDT"][-1])
    made.board.close("orderbook.1000.BTCUSDT")
    assert (result["u"], result["seq"], result["cts"]) == (last["data"]["u"], last["data"]["seq"], last["cts"])
    rpi = ask("rpi_orderbook", limit="3")
    assert [row[:2] for row in rpi["b"]] == ask("orderbook", limit="3")["b"]
    assert {Decimal(row[2]) for row in rpi["b"] + rpi["a"]} == {0}


def test_the_ticker_is_the_published_one(ask, made):
    (row,) = ask("tickers")["list"]
    assert row.items() >= made.board.symbols["BTCUSDT"].ticker.fields.items()
    prints = [one for one in made.events(TradePrint) if one.instrument == BTC]
    rules = made.rules["BTCUSDT"]
    assert Decimal(row["lastPrice"]) == rules.price(prints[-1].price)
    assert Decimal(row["highPrice24h"]) == rules.price(max(one.price for one in prints))
    assert Decimal(row["lowPrice24h"]) == rules.price(min(one.price for one in prints))
    assert Decimal(row["prevPrice24h"]) == rules.price(prints[0].price)
    assert Decimal(row["volume24h"]) == rules.size(sum(one.size for one in prints))
    assert Decimal(row["turnover24h"]) == sum(rules.notional(one.price, one.size) for one in prints)
    assert len(ask("tickers", symbol="")["list"]) == 2


def test_klines_are_newest_first_and_add_up(ask, made):
    rows = ask("kline", interval="1")["list"]
    assert all(int(a[0]) - int(b[0]) == 60_000 for a, b in pairwise(rows))
    assert all(newer[1] == older[4] for newer, older in pairwise(rows))
    (ticker,) = ask("tickers")["list"]
    assert sum(Decimal(row[5]) for row in rows) == Decimal(ticker["volume24h"])
    assert sum(Decimal(row[6]) for row in rows) == Decimal(ticker["turnover24h"])
    assert ask("kline", interval="1", limit="1")["list"] == rows[:1]
    oldest = rows[-1][0]
    assert ask("kline", interval="1", start=oldest, limit="1")["list"] == rows[-1:]
    assert ask("kline", interval="1", start=oldest, end=rows[-2][0], limit="1")["list"] == rows[-2:-1]
    assert ask("kline", interval="1", end=str(int(oldest) - 1))["list"] == []
    assert len(ask("kline", interval="D")["list"]) == 1
    for name in ("mark-price-kline", "index-price-kline", "premium-index-price-kline"):
        assert [len(row) for row in ask(name, interval="1")["list"]] == [5, 5, 5]


def test_recent_trades_are_newest_first(ask, made):
    prints = [one for one in made.events(TradePrint) if one.instrument == BTC]
    rows = ask("recent-trade", limit="50")["list"]
    assert [row["execId"] for row in rows] == [str(one.trade_id) for one in prints[::-1][:50]]
    assert [row["time"] for row in rows] == [str(one.ts_event // MILLISECOND) for one in prints[::-1][:50]]


def test_instruments_are_read_back_as_they_are_listed(ask, made):
    reply = {"retCode": 0, "retMsg": "OK", "result": ask("instruments-info", symbol="")}
    decoded = decode_instruments(msgspec.json.encode(reply))
    assert [one.id for one in decoded] == [rules.id for rules in made.rules.values()]
    unknown = {"margin_tiers": (), "assumed": (), "maker_fee": Decimal(0), "taker_fee": Decimal(0)}
    for theirs, ours in zip(decoded, made.rules.values(), strict=True):
        assert msgspec.structs.replace(theirs, **unknown) == msgspec.structs.replace(ours, **unknown)


def test_instruments_come_in_pages(ask):
    first = ask("instruments-info", symbol="", limit="1")
    second = ask("instruments-info", symbol="", limit="1", cursor=first["nextPageCursor"])
    assert [page["list"][0]["symbol"] for page in (first, second)] == ["BTCUSDT", "ETHUSDT"]
    assert second["nextPageCursor"] == ""
    assert ask("instruments-info", symbol="", status="PreLaunch")["list"] == []
    assert [row["symbol"] for row in ask("instruments-info", symbol="", baseCoin="ETH")["list"]] == ["ETHUSDT"]


def test_risk_limits_are_the_margin_tiers(ask, made):
    rows = ask("risk-limit")["list"]
    tiers = made.rules["BTCUSDT"].margin_tiers
    assert [Decimal(row["riskLimitValue"]) for row in rows] == [tier.notional_limit for tier in tiers]
    assert [Decimal(row["maintenanceMargin"]) for row in rows] == [tier.maintenance_rate for tier in tiers]
    assert [Decimal(row["mmDeduction"] or 0) for row in rows] == [tier.deduction for tier in tiers]
    assert [row["isLowestRisk"] for row in rows] == [1, 0, 0, 0, 0]
    ids = [row["id"] for row in ask("risk-limit", symbol="")["list"]]
    assert len(set(ids)) == len(ids) == 10


def test_risk_limits_come_fifteen_symbols_a_page():
    source = Events([])
    symbols = synthetic_symbols(20)
    requests = MarketRequests(Exchange(source, {one.instrument.id: one.instrument for one in symbols}).board)
    found, cursor = [], ""
    for size in (15, 5):
        page = requests.answer("/v5/market/risk-limit", {"category": "linear", "cursor": cursor}, START)
        assert len({row["symbol"] for row in page["list"]}) == size
        found += page["list"]
        cursor = page["nextPageCursor"]
    assert cursor == ""
    assert len({row["symbol"] for row in found}) == 20


def test_the_band_stands_around_the_mark(ask):
    (ticker,) = ask("tickers")["list"]
    limits = ask("price-limit")
    assert Decimal(limits["sellLmt"]) < Decimal(ticker["markPrice"]) < Decimal(limits["buyLmt"])


def test_funding_and_open_interest_are_what_has_been():
    at = {"instrument": BTC, "ts_event": START, "ts_recv": START}
    told = Ticker(**at, funding_rate=Decimal("0.0002"), open_interest=Decimal(10))
    exchange = Exchange(Events([told]), {BTC: an_instrument()})
    exchange.run(20 * 3600, step=30 * SECOND)
    requests = MarketRequests(exchange.board)

    def ask(name, **query):
        return requests.answer(f"/v5/market/{name}", {**LINEAR, **query}, exchange.now)

    rows = ask("funding/history")["list"]
    times = [int(row["fundingRateTimestamp"]) for row in rows]
    assert {row["fundingRate"] for row in rows} == {"0.0002"}
    assert times == sorted(times, reverse=True)
    assert all(ts % (8 * HOUR // MILLISECOND) == 0 for ts in times)
    assert len(rows) == 3
    last = str(times[0])
    assert [row["fundingRateTimestamp"] for row in ask("funding/history", startTime=last, endTime=last)["list"]] == [
        last
    ]
    with pytest.raises(Refused):
        ask("funding/history", startTime=last)
    hours = ask("open-interest", intervalTime="1h", limit="5")
    assert [row["openInterest"] for row in hours["list"]] == ["10"] * 5
    assert all(int(row["timestamp"]) % (60 * MINUTE // MILLISECOND) == 0 for row in hours["list"])
    more = ask("open-interest", intervalTime="1h", limit="5", cursor=hours["nextPageCursor"])
    assert int(more["list"][0]["timestamp"]) < int(hours["list"][-1]["timestamp"])
    with pytest.raises(Refused):
        ask("open-interest", intervalTime="2h")


@pytest.mark.parametrize("category", ["spot", "inverse", "option"])
def test_other_categories_exist_and_are_empty(ask, category):
    for name in ("instruments-info", "tickers", "risk-limit"):
        assert ask(name, category=category, symbol="")["list"] == []
    with pytest.raises(Refused):
        ask("orderbook", category=category)


@pytest.mark.parametrize(
    ("name", "query", "text"),
    [
        ("orderbook", {"symbol": "XXXUSDT"}, "Symbol Is Invalid"),
        ("orderbook", {"symbol": ""}, "symbol is required"),
        ("orderbook", {"limit": "0"}, "limit"),
        ("orderbook", {"limit": "1001"}, "limit"),
        ("orderbook", {"limit": "-1"}, "limit"),
        ("orderbook", {"limit": "ten"}, "limit"),
        ("rpi_orderbook", {}, "limit is required"),
        ("rpi_orderbook", {"limit": "51"}, "limit"),
        ("tickers", {"category": ""}, "Category"),
        ("tickers", {"category": "coins"}, "Category"),
        ("tickers", {"symbol": "XXXUSDT"}, "Symbol"),
        ("instruments-info", {"symbol": "XXXUSDT"}, "Symbol"),
        ("instruments-info", {"cursor": "first%3DBTC"}, "cursor"),
        ("kline", {}, "interval is required"),
        ("kline", {"interval": "2"}, "period"),
        ("kline", {"interval": "1", "start": "yesterday"}, "start"),
        ("recent-trade", {"limit": "1.5"}, "limit"),
    ],
)
def test_wrong_parameters_are_refused(ask, name, query, text):
    with pytest.raises(Refused, match=text) as caught:
        ask(name, **query)
    assert caught.value.code == 10001


def test_before_anything_has_happened_every_request_has_an_answer():
    exchange = Exchange(Events([a_snapshot(ts=START)]), {BTC: an_instrument()})
    requests = MarketRequests(exchange.board)
    for path in requests.paths:
        query = {**LINEAR, "interval": "1", "limit": "5", "intervalTime": "1h"}
        assert msgspec.json.encode(requests.answer(path, query, START))
    with pytest.raises(KeyError):
        requests.answer("/v5/market/nonsense", LINEAR, START)


def test_only_the_last_thousand_prints_are_kept():
    exchange = Exchange(Events([a_print(ts=START + row, price=5) for row in range(1_200)]), {BTC: an_instrument()})
    exchange.run(1)
    rows = MarketRequests(exchange.board).answer("/v5/market/recent-trade", {**LINEAR, "limit": "1000"}, START)["list"]
    assert len(rows) == 1_000


# --- what is listed ---------------------------------------------------------------------------------------------------


def test_contracts_of_any_venue_are_listed_under_bybits_name():
    (rules,) = by_symbol(list_all({"binance:linear:BTCUSDT": an_instrument()}).values()).values()
    assert rules.id == f"{VENUE}:linear:BTCUSDT"
    assert rules.margin_tiers


def test_what_cannot_be_listed_is_said():
    one = an_instrument()
    with pytest.raises(ConfigError, match="two venues"):
        list_all({BTC: one, "binance:linear:BTCUSDT": one})
    spot = msgspec.structs.replace(one, category=Category.SPOT)
    assert list(list_all({BTC: one, "bybit:spot:BTCUSDT": spot})) == [BTC]
    with pytest.raises(ConfigError, match="linear"):
        list_all({BTC: spot})


def test_made_up_symbols_are_distinct_and_can_be_generated():
    symbols = synthetic_symbols(300)
    SyntheticConfig(symbols=symbols)
    assert [one.instrument.id for one in symbols[:3]] == list(demo_instruments())
    assert synthetic_symbols(20) == symbols[:20]
    for count in (0, 1001):
        with pytest.raises(ConfigError, match="symbols"):
            synthetic_symbols(count)


# --- against recorded payloads ----------------------------------------------------------------------------------------

SHAPES = [
    ("instruments-info", "bybit-docs/market__instrument__1.json", {}),
    ("orderbook", "bybit-docs/market__orderbook__1.json", {}),
    ("rpi_orderbook", "bybit-docs/market__rpi-orderbook__1.json", {"limit": "5"}),
    ("tickers", "bybit-docs/market__tickers__1.json", {}),
    ("recent-trade", "bybit-docs/market__recent-trade__1.json", {}),
    ("price-limit", "bybit-docs/market__order-price-limit__1.json", {}),
    ("time", "bybit-docs/market__time__1.json", {}),
    ("kline", "bybit-docs/market__kline__1.json", {"interval": "1"}),
    ("mark-price-kline", "bybit-docs/market__mark-kline__1.json", {"interval": "1"}),
    ("index-price-kline", "bybit-docs/market__index-kline__1.json", {"interval": "1"}),
    ("premium-index-price-kline", "bybit-docs/market__premium-index-kline__1.json", {"interval": "1"}),
    ("risk-limit", "hirokisan/v5-market-get-risk-limit.json", {}),
]


def missing(theirs, ours, where="result"):
    """What their payload has and ours has not, or has as another type of JSON value."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name, value in theirs.items():
            if name not in ours:
                yield f"{where}.{name}"
            else:
                yield from missing(value, ours[name], f"{where}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        if theirs:
            assert ours, f"{where} is empty"
            yield from missing(theirs[0], ours[0], f"{where}[0]")
    elif type(theirs) is not type(ours) and theirs is not None:
        yield f"{where}: {type(theirs).__name__} there, {type(ours).__name__} here"


@pytest.mark.recorded
@pytest.mark.parametrize(("name", "file", "query"), SHAPES)
def test_answers_have_all_that_the_recorded_ones_have(ask, recorded, name, file, query):
    text = (recorded / "bybit-vectors" / file).read_text()
    theirs = msgspec.json.decode(text.splitlines()[0] if name == "instruments-info" else text)
    assert list(missing(theirs.get("result", theirs), ask(name, **query))) == []


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("topic", "file"),
    [
        ("publicTrade.BTCUSDT", "websocket__public__trade__1"),
        ("kline.5.BTCUSDT", "websocket__public__kline__1"),
        ("priceLimit.BTCUSDT", "websocket__public__order-price-limit__2"),
        ("orderbook.50.BTCUSDT", "websocket__public__orderbook__1"),
    ],
)
def test_frames_have_all_that_the_recorded_ones_have(recorded, topic, file):
    theirs = msgspec.json.decode((recorded / "bybit-vectors" / "bybit-docs" / f"{file}.json").read_text())
    source = generated(seconds=5)
    exchange = Exchange(source, source.instruments)
    exchange.open(topic)
    exchange.run(5)
    frames = [msgspec.json.decode(frame) for frame in exchange.frames[topic]]
    same_type = [frame for frame in frames if frame.get("type") == theirs.get("type")]
    full = next(frame for frame in same_type if topic[:9] != "orderbook" or all(frame["data"][side] for side in "ab"))
    assert list(missing(theirs, full, "frame")) == []
