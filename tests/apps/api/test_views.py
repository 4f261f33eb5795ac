"""What the API says is what the bot said, in units of people."""

import re
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.apps.api.conftest import World
from tests.apps.api.test_auth import is_problem
from tests.apps.console.fake_bot import MARKETS, RunningBot

from stakan.apps.projection import BOOK_LEVELS, BookView, FeaturesView
from stakan.core.domain.units import Nanos
from stakan.core.features.catalogue import FEATURE_COUNT, FEATURE_NAMES, FEATURE_SET

RULES = MARKETS[0][0]


@pytest.fixture
def still(world: World, bot: RunningBot) -> RunningBot:
    """A bot that has said its last word, so that two looks see the same."""
    bot.pause()
    last = bot.bot.update(bot.bot.started + 10**12)
    bot.tell(last)
    world.until(lambda: world.link.model.ts == last.ts)
    return bot


def get(world: World, path: str) -> Any:
    answer = world.client.get(path, headers=world.bearer("viewer"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_book_has_exact_decimals_and_the_best_first(world: World, still: RunningBot) -> None:
    view: BookView = world.link.model.books[RULES.id]
    book = get(world, "/data/orderbook/BTCUSDT")
    assert len(book["bids"]) == len(book["asks"]) == BOOK_LEVELS
    assert Decimal(book["bids"][0][0]) == RULES.price(int.from_bytes(view.bids[:8], "little"))
    assert Decimal(book["asks"][0][1]) == RULES.size(int.from_bytes(view.asks[8:16], "little"))
    bids = [Decimal(price) for price, _ in book["bids"]]
    assert bids == sorted(bids, reverse=True)
    assert get(world, "/data/orderbook/synthetic:linear:BTCUSDT?depth=3")["asks"] == book["asks"][:3]


def test_metrics_follow_from_the_book(world: World, still: RunningBot) -> None:
    book, metrics = get(world, "/data/orderbook/BTCUSDT"), get(world, "/data/metrics/BTCUSDT")
    bid, ask = Decimal(book["bids"][0][0]), Decimal(book["asks"][0][0])
    assert Decimal(metrics["mid"]) == (bid + ask) / 2
    assert metrics["spread_bps"] == pytest.approx(float((ask - bid) / ((bid + ask) / 2) * 10_000), abs=1e-3)
    sizes = [sum(Decimal(size) for _, size in book[side]) for side in ("bids", "asks")]
    assert [Decimal(metrics[name]) for name in ("bid_size", "ask_size")] == sizes
    assert metrics["imbalance"] == pytest.approx(float((sizes[0] - sizes[1]) / sum(sizes)), abs=1e-4)
    assert [one["symbol"] for one in get(world, "/data/metrics")] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]


def test_an_unusable_book_shows_no_price(world: World, still: RunningBot) -> None:
    still.bot.markets[0].is_usable = False
    last = still.bot.update(still.bot.started + 10**12 + 10**9)
    still.tell(last)
    world.until(lambda: world.link.model.ts == last.ts)
    metrics = get(world, "/data/metrics/BTCUSDT")
    assert (metrics["is_usable"], metrics["mid"], metrics["spread_bps"], metrics["imbalance"]) == (
        False,
        None,
        None,
        None,
    )
    assert get(world, "/data/orderbook/BTCUSDT")["bids"] == []


def test_series_are_what_the_bot_told_and_end_with_the_newest(world: World, still: RunningBot) -> None:
    known = still.bot.backlog
    equity = get(world, "/trading/equity?limit=2")
    assert [Decimal(one["equity"]) for one in equity] == [one.equity for one in known.equity[-2:]]
    trades = get(world, "/trading/trades")
    assert [one["id"] for one in trades] == [one.position for one in known.trades][-100:]
    for shown, told in zip(trades, known.trades[-100:], strict=True):
        assert Decimal(shown["net_pnl"]) == told.gross_pnl - told.fees - told.funding
    signals = get(world, "/trading/signals?limit=5")
    assert [one["number"] for one in signals] == [one.number for one in known.decisions[-5:]]
    candles = get(world, "/data/candles/BTCUSDT?limit=1")
    assert Decimal(candles[0]["close"]) == RULES.price(still.bot.markets[0].candle.close)


def test_features_are_told_by_their_names(world: World, still: RunningBot) -> None:
    assert is_problem(world.client.get("/data/features/BTCUSDT", headers=world.bearer()), 503, "no-features-yet")
    values = np.arange(FEATURE_COUNT, dtype="<f4") / 4
    view = FeaturesView(
        instrument=RULES.id,
        ts=Nanos(3_000_000),
        computed_ts=Nanos(4_000_000),
        version=FEATURE_SET,
        values=values.tobytes(),
        warm=np.packbits(values > 1, bitorder="little").tobytes(),
    )
    told(world, still, features=(view,))
    found = get(world, "/data/features/BTCUSDT")
    assert (found["instrument"], found["ts"], found["computed"], found["version"]) == (RULES.id, 3.0, 4.0, FEATURE_SET)
    assert list(found["features"]) == list(FEATURE_NAMES)
    assert list(found["features"].values()) == values.tolist()
    assert found["not_warm"] == list(FEATURE_NAMES[:5])
    told(world, still, features=(msgspec.structs.replace(view, version="stakan-1-1"),))
    answer = world.client.get("/data/features/BTCUSDT", headers=world.bearer())
    assert is_problem(answer, 503, "other-features")


def told(world: World, still: RunningBot, **more: Any) -> None:
    """One more update of a bot that is still."""
    update = msgspec.structs.replace(still.bot.update(world.link.model.ts + 10**9), **more)
    still.tell(update)
    world.until(lambda: world.link.model.ts == update.ts)


def test_status_and_balance_agree(world: World, still: RunningBot) -> None:
    status, balance = get(world, "/bot/status"), get(world, "/trading/balance")
    assert Decimal(status["equity"]) == Decimal(balance["equity"])
    assert (status["status"], status["link"], status["is_synthetic"], status["mode"]) == (
        "running",
        "live",
        True,
        "paper",
    )
    assert get(world, "/bot/config")["strategies"] == ["imbalance", "density_breakout", "density_bounce"]
    assert get(world, "/trading/risk-status")["unprotected"] == 0
    stats = get(world, "/trading/execution-stats")
    assert stats["fills"] == len(still.bot.backlog.fills)


def test_an_unknown_symbol_is_named(world: World, bot: RunningBot) -> None:
    answer = world.client.get("/data/candles/DOGEUSDT", headers=world.bearer())
    assert is_problem(answer, 404, "unknown-instrument")
    assert "DOGEUSDT" in answer.json()["detail"]


def test_metrics_parse_and_carry_what_dashboards_read(world: World, still: RunningBot) -> None:
    text = world.client.get("/metrics", headers=world.bearer()).text
    found = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
    status = world.link.model.status
    assert status is not None
    assert found["stakan_equity"].value == float(status.equity)
    assert found["stakan_steps_total"].value == status.steps
    for name in (
        "stakan_bot_up",
        "stakan_bot_update_age_seconds",
        "stakan_positions",
        "stakan_trading_state",
        "stakan_book_health",
        "stakan_feed_latency_seconds",
        "stakan_book_gaps_total",
        "stakan_book_resyncs_total",
        "order_stage_latency_seconds",
        "strategy_signals_total",
    ):
        assert name in found, name
    told = [one for one in still.bot.backlog.decisions if one.kind == "exit"]
    exits = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "strategy_signals_total" and sample.labels["signal_type"] == "exit"
    ]
    assert sum(exits) == len(told)


def test_metrics_are_not_for_strangers_from_elsewhere(world: World) -> None:
    assert world.client.get("/metrics").status_code == 401


def test_the_front_door(world: World) -> None:
    assert world.client.get("/").json()["bot"] == "down"
    browser = world.client.get("/", headers={"accept": "text/html"}, follow_redirects=False)
    assert (browser.status_code, browser.headers["location"]) == (303, "/console/")
    assert world.client.get("/health").status_code == 200
    assert world.client.get("/readiness").status_code == 503
    page = world.client.get("/console/", headers={"accept": "text/html"}, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    assert world.client.get("/login").status_code == 200


def test_the_documents_are_whole_and_load_nothing_from_elsewhere(world: World) -> None:
    document = world.client.get("/openapi.json").json()
    references = set(re.findall(r'"#/components/schemas/(\w+)"', world.client.get("/openapi.json").text))
    assert references <= set(document["components"]["schemas"])
    page = world.client.get("/docs").text
    assert not re.search(r'(src|href)="(https?:)?//', page)
    for path in document["paths"]:
        assert path.replace("{", "&#x7b;") in page or path in page


def test_answers_carry_the_headers_that_keep_browsers_safe(world: World) -> None:
    for path in ("/", "/login", "/bot/status"):
        headers = world.client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
