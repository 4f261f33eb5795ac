"""Ground truth agrees with what the market shows."""

import io

import msgspec
import pytest
from tests.adapters.synthetic.markets import BTC, a_config, busy

from stakan.adapters.synthetic.episodes import EpisodeKind, GroundTruth, read_truth
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.units import SECOND, Side
from stakan.core.market.book import Book


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    symbol = msgspec.structs.replace(BTC, messages_per_second=0.0)
    return SyntheticMarket(a_config(symbols=(symbol,), episodes=busy(), duration_ns=90 * SECOND))


@pytest.fixture(scope="module")
def truth(market) -> GroundTruth:
    return market.truth()


@pytest.fixture(scope="module")
def sizes(market, truth) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """(time, size) after each message at each price where something was planted, by side and price."""
    watched = {(order.side, order.price) for episode in truth.episodes for order in episode.orders}
    history: dict[tuple[int, int], list[tuple[int, int]]] = {key: [] for key in watched}
    book = Book(BTC.instrument.id)
    for window in market.windows():
        for event in window.events():
            if isinstance(event, BookSnapshot | BookDelta):
                book.apply(event)
                for price in event.levels[:, 0].tolist():
                    for side in Side:
                        if (side, price) in history:
                            history[side, price].append((event.ts_event, book.size_at(side, price)))
    return history


def _last_before(history, ts):
    return max((i for i, (at, _) in enumerate(history) if at < ts), default=-1)


@pytest.mark.parametrize("kind", [EpisodeKind.SPOOFING, EpisodeKind.LAYERING])
def test_spoofing_orders_stand_in_the_book_and_vanish_untraded(truth, sizes, kind):
    checked = 0
    for episode in truth.of(kind):
        for order in episode.orders:
            if not episode.is_complete or order.gone == order.placed:
                continue
            history = sizes[order.side, order.price]
            life = [size for at, size in history if order.placed <= at < order.gone]
            assert order.traded == 0
            assert order.cancelled == order.size
            assert life
            assert max(life) >= order.size
            before = history[_last_before(history, order.gone)][1]
            after = min(size for at, size in history if at == order.gone)
            assert before - after >= order.size
            checked += 1
    assert checked > 5


def test_wash_trades_print_equal_sizes_from_both_sides_at_one_price(market, truth):
    prints = [e for w in market.windows() for e in w.events() if isinstance(e, TradePrint)]
    pairs = 0
    for episode in truth.of(EpisodeKind.WASH_TRADES):
        for order in episode.orders:
            if order.gone == order.placed:
                continue
            at = {order.placed: order.side, order.gone: order.side.opposite}
            ours = [e for e in prints if e.ts_event in at and e.price == order.price and e.size == order.size]
            assert {(e.ts_event, e.side) for e in ours} >= set(at.items())
            pairs += 1
    assert pairs > 3


def test_genuine_orders_icebergs_and_walls_trade(truth):
    for kind in (EpisodeKind.LARGE_GENUINE, EpisodeKind.ICEBERG, EpisodeKind.DENSITY):
        assert sum(order.traded for episode in truth.of(kind) for order in episode.orders) > 0
    assert any(len(episode.orders) > 1 for episode in truth.of(EpisodeKind.ICEBERG))


def test_walls_are_much_larger_than_their_neighbours_and_visible(truth, sizes):
    assert truth.densities
    for wall in truth.densities:
        (order,) = wall.orders
        assert order.size >= 20 * order.reference
        seen = [size for at, size in sizes[order.side, order.price] if order.placed <= at < order.gone]
        assert max(seen, default=0) >= order.size


def test_sizes_of_spoofing_follow_their_tier(truth):
    low, high = {1: 10, 2: 5, 3: 3}, {1: 30, 2: 10, 3: 5}
    for episode in truth.of(EpisodeKind.SPOOFING):
        for order in episode.orders:
            assert low[episode.tier] <= order.size / order.reference <= high[episode.tier]


def test_only_manipulations_are_labelled_so(truth):
    named = {EpisodeKind.SPOOFING, EpisodeKind.LAYERING, EpisodeKind.QUOTE_STUFFING, EpisodeKind.WASH_TRADES}
    assert {episode.kind for episode in truth.episodes} == set(EpisodeKind)
    assert all(episode.is_manipulation == (episode.kind in named) for episode in truth.episodes)


def test_every_lot_of_a_finished_episode_is_accounted_for(truth):
    for episode in truth.episodes:
        assert episode.start <= episode.end
        for order in episode.orders:
            assert order.placed <= order.gone
            if episode.is_complete:
                assert order.traded + order.cancelled == order.size


def test_truth_can_be_written_and_read_again(truth):
    file = io.BytesIO()
    truth.write(file)
    assert read_truth(file.getvalue().splitlines()) == truth


def test_truth_of_a_shorter_market_begins_the_longer_ones(truth, market):
    short = SyntheticMarket(msgspec.structs.replace(market.config, duration_ns=60 * SECOND)).truth()
    done = [episode for episode in short.episodes if episode.is_complete]
    assert done
    assert all(episode in truth.episodes for episode in done)
