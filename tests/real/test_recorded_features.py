"""Features on recorded sessions: their definitions, the batch, and what the literature's regressions give."""

from functools import cache
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np
import pytest

from stakan.adapters import instruments
from stakan.adapters.importers.recording import open_recording
from stakan.core.domain.events import BestQuote, BookDelta, BookSnapshot, MarketEvent, TradePrint
from stakan.core.domain.facts import LatePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Nanos, Side
from stakan.core.engine import Engine, EngineConfig
from stakan.core.features._order_book_kernels import balance
from stakan.core.features._window_kernels import ofi_increment
from stakan.core.features.batch import vectors
from stakan.core.features.catalogue import CANDLE, FEATURE_NAMES, INDICATOR, ORDER_BOOK, Feature
from stakan.core.features.definitions import factors
from stakan.core.features.params import FeatureParams
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.features.stream import MultiSymbolFeaturePipeline
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture
from stakan.core.plugins import Strategy
from tests.core.features.candle_reference import of_candles
from tests.core.features.order_book_reference import History, Print, vector
from tests.real.conftest import SESSIONS

pytestmark = pytest.mark.recorded
FILES = {session.name: session.files for session in SESSIONS} | {
    "nexo-2024": ("binance-l2-thin/nexousdt_20240723.dat.gz", "binance-l2-thin/nexousdt_20240724.dat.gz")
}
NAMES = FEATURE_NAMES[ORDER_BOOK]
PACES = {"nexo-2024": (Nanos(10 * SECOND), Nanos(MINUTE))}
"""Grid and candles of what lasts a day; half a second and a second of what lasts minutes, so that all becomes warm."""
DENSITIES = DensityParams(min_notional=20_000.0)
BTC, ETH = InstrumentId("binance:linear:BTCUSDT"), InstrumentId("binance:linear:ETHUSDT")


@pytest.fixture(scope="session")
def session(recorded):
    """Events of a recorded session by its name, each read once."""
    known = instruments.recorded()
    read = {}

    def events(name):
        if name not in read:
            read[name] = list(open_recording([recorded / file for file in FILES[name]], known).events())
        return read[name]

    return events


# --- the regressions of the literature --------------------------------------------------------------------------------

ANCHORS = [
    ("btc-2023", 250, 0.35, 0.14, 0.20, 0.13),
    ("btc-2023", 1_000, 0.44, 0.17, 0.27, 0.14),
    ("btc-2023", 10_000, 0.59, 0.51, 0.12, -0.13),
    ("btc-2024", 250, 0.55, 0.54, 0.26, 0.24),
    ("btc-2024", 1_000, 0.72, 0.70, 0.35, 0.19),
    ("btc-2024", 10_000, 0.90, 0.83, 0.10, 0.25),
]
"""Session, interval in ms, R² of mid change on OFI (all, last 30 %), correlation of the next mid change with queue
imbalance and with OFI, as measured independently from the same files."""


def in_bins(quotes, width):
    """OFI, last mid and last queue imbalance of each bin, from best quotes in order of transaction time."""
    quotes = sorted(quotes, key=lambda quote: quote.ts_event)
    rows = [(q.bid_price, q.bid_size, q.ask_price, q.ask_size) for q in quotes]
    first = quotes[0].ts_event
    bins = np.array([(q.ts_event - first) // width for q in quotes])
    flow = np.array([0, *(ofi_increment(*now, *then) for then, now in pairwise(rows))], float)
    mids = np.array([(bid + ask) / 2 for bid, _, ask, _ in rows])
    queues = np.array([balance(float(bid), float(ask)) for _, bid, _, ask in rows])
    last = np.append(np.flatnonzero(np.diff(bins)), len(bins) - 1)
    return np.add.reduceat(flow, np.append(0, last[:-1] + 1)), mids[last], queues[last]


def r_squared(x, y, fitted):
    """Of least squares with intercept that is fitted on the first `fitted` rows, scored on the others (or on all)."""
    design = np.column_stack((np.ones(len(x)), x))
    weights = np.linalg.lstsq(design[:fitted], y[:fitted], rcond=None)[0]
    tested = slice(fitted if fitted < len(x) else 0, None)
    rest = y[tested] - design[tested] @ weights
    return 1 - rest @ rest / ((y[tested] - y[tested].mean()) ** 2).sum()


@pytest.mark.parametrize(("name", "width_ms", "all_bins", "last_bins", "queue", "flow"), ANCHORS)
def test_order_flow_and_queue_imbalance_reproduce_the_linear_anchors(
    session, name, width_ms, all_bins, last_bins, queue, flow
):
    quotes = [event for event in session(name) if type(event) is BestQuote]
    ofi, mids, queues = in_bins(quotes, width_ms * MILLISECOND)
    moves = np.diff(mids)
    assert r_squared(ofi[1:], moves, len(moves)) == pytest.approx(all_bins, abs=0.01)
    assert r_squared(ofi[1:], moves, int(0.7 * len(moves))) == pytest.approx(last_bins, abs=0.01)
    assert np.corrcoef(queues[:-1], moves)[0, 1] == pytest.approx(queue, abs=0.02)
    assert np.corrcoef(ofi[:-1], moves)[0, 1] == pytest.approx(flow, abs=0.02)


# --- definitions ------------------------------------------------------------------------------------------------------


class Both:
    """The pipeline and the slow history, told the same recorded events."""

    def __init__(self, rules, params):
        self.rules, self.params = rules, params
        self.market = MarketPicture.start(rules, DensityParams(), SECOND, follow_densities=False)
        self.pipeline = FeaturePipeline.start(rules, params)
        self.history = History()
        self.levels = 0
        """How often a feature was a level that the tracker knew."""

    def tell(self, event):
        if type(event) is TradePrint:
            self.market.apply_print(event)
            self.history.trade(Print(event.ts_event, event.price, event.size, int(event.side), event.is_rpi))
            return
        assert self.market.apply_book(event) is None
        if not self.market.book.is_fresh:
            return
        self.pipeline.observe(self.market.book)
        rows = event.levels.tolist()
        bids, asks = rows[: event.bid_count], rows[event.bid_count :]
        self.history.book(event.ts_event, bids, asks, is_snapshot=type(event) is BookSnapshot)

    def compare(self):
        """The newest vector; names that are warm."""
        now = self.market.ts_event
        found = self.pipeline.read(self.market, now)
        told = vector(self.history, now, self.rules.tick_size, self.rules.lot_size, self.params)
        told |= self.known_levels(told["mid_price"][0])
        for index, name in enumerate(NAMES):
            expected, warm = told[name]
            assert found.values[index] == pytest.approx(float(expected), rel=1e-9, abs=1e-15), name
            assert found.warm[index] == warm, name
        return {name for index, name in enumerate(NAMES) if found.warm[index]}

    def known_levels(self, mid):
        """What the tracker of levels says goes before what the book shows; the history knows the book only."""
        told = {}
        for name, side in (("support", Side.BUY), ("resistance", Side.SELL)):
            level = self.market.levels.nearest(side, self.market.book.mid)
            if level is not None:
                price = level.price * float(self.rules.tick_size)
                told[f"{name}_level_1"] = (price, True)
                told[f"distance_to_{name}"] = (abs(price - float(mid)) / float(mid), True)
                self.levels += 1
        return told


@pytest.mark.parametrize(
    ("name", "key"),
    [("btc-2024", BTC), ("eth-2024", ETH), ("bybit-capture", InstrumentId("bybit:linear:DOGEUSDT"))],
)
def test_recorded_features_equal_their_definitions(session, name, key):
    both = Both(instruments.recorded()[key], FeatureParams(min_cluster_volume=50_000.0))
    warm = set()
    due = None
    for event in session(name):
        if type(event) not in (BookDelta, BookSnapshot, TradePrint) or event.instrument != key:
            continue
        both.tell(event)
        if not both.history.states:
            continue
        due = due or event.ts_event + 9 * SECOND
        if event.ts_event >= due:
            warm |= both.compare()
            due += 9 * SECOND
            if event.ts_event > both.history.states[0].ts + 100 * SECOND:
                break
    if name != "bybit-capture":
        assert warm == set(NAMES)
    if name == "btc-2024":
        assert both.levels > 0


# --- stream and batch -------------------------------------------------------------------------------------------------


def paces(name):
    """Grid and candle interval of a session."""
    return PACES.get(name, (Nanos(500 * MILLISECOND), Nanos(SECOND)))


class Read(NamedTuple):
    """What an engine showed its strategy."""

    values: np.ndarray
    warm: np.ndarray
    open_ts: int
    """Start of the candle that was open."""


RECORDED: dict[tuple[InstrumentId, int], Read] = {}
"""By instrument and exchange time."""


class Record(Strategy, frozen=True, kw_only=True):
    """Keeps what an engine shows to its strategies."""

    reads_densities: ClassVar[bool] = True

    def decide(self, view, state):
        found = view.features
        read = Read(found.values.copy(), found.warm.copy(), view.market.candles.open_ts)
        # What wakes the engine between two moments of the grid comes after the grid's own decision.
        RECORDED.setdefault((view.instrument.id, view.now), read)


class Ran(NamedTuple):
    """A session through an engine: its events, what was read, and the prints that candles are made of."""

    events: list
    rules: list
    read: dict[tuple[InstrumentId, int], Read]
    prints: dict[InstrumentId, list]


@pytest.fixture(scope="session")
def through_an_engine(session):
    """A recorded session of any number of instruments through an engine, each once."""
    known = instruments.recorded()

    @cache
    def run(name, include_open):
        events = [event for event in session(name) if isinstance(event, MarketEvent)]
        events.sort(key=lambda event: event.ts_recv)
        rules = [known[key] for key in sorted({event.instrument for event in events})]
        grid, candles = paces(name)
        config = EngineConfig(
            strategies=(("record", Record()),),
            features=FeatureParams(include_open=include_open),
            densities=DENSITIES,
            decision_interval_ns=grid,
            candle_interval_ns=candles,
        )
        engine = Engine(config, rules)
        prints = {one.id: {} for one in rules}
        RECORDED.clear()
        for event in events:
            step = engine.step(event)
            if type(event) is TradePrint and not any(type(fact) is LatePrint for fact in step.facts):
                prints[event.instrument].setdefault(event.trade_id, event)
        return Ran(events, rules, dict(RECORDED), {key: list(found.values()) for key, found in prints.items()})

    return run


@pytest.mark.parametrize(("name", "include_open"), [*((one, False) for one in FILES), ("eth-2024", True)])
def test_parity_of_an_engine_s_vectors_and_those_of_the_batch(through_an_engine, name, include_open):
    ran = through_an_engine(name, include_open)
    grid, candles = paces(name)
    params = FeatureParams(include_open=include_open)
    for rules in ran.rules:
        batch = vectors(
            ran.events, rules, interval_ns=grid, candle_interval_ns=candles, params=params, densities=DENSITIES
        )
        moments = batch.ts_event.tolist()
        met = [row for row, now in enumerate(moments) if (rules.id, now) in ran.read]
        assert len(met) > 0.9 * len(moments) > 50
        for row in met:
            values, warm, _ = ran.read[rules.id, moments[row]]
            np.testing.assert_allclose(batch.values[row], values, rtol=1e-9, atol=0)
            assert (batch.warm[row] == warm).all()
        assert batch.warm[-1, Feature.ORDER_FLOW_IMBALANCE]
        assert np.isfinite(batch.values).all()


@pytest.mark.parametrize("name", FILES)
def test_parity_of_many_instruments_at_once_and_each_alone(through_an_engine, name):
    """One pipeline that follows all of them, read where the engine read."""
    ran = through_an_engine(name, False)
    grid, candles = paces(name)
    pipeline = MultiSymbolFeaturePipeline(ran.rules, candle_interval_ns=candles, densities=DENSITIES)
    found, due = 0, dict.fromkeys((one.id for one in ran.rules), 0)
    for event in ran.events:
        key = event.instrument
        pipeline.take(event)
        now = pipeline.market(key).ts_event
        if now >= due[key]:
            due[key] = (now // grid + 1) * grid
            if (key, now) in ran.read and pipeline.market(key).book.is_usable:
                vector, expected = pipeline.read(key), ran.read[key, now]
                assert vector.values.tolist() == expected.values.tolist()
                assert vector.warm.tolist() == expected.warm.tolist()
                found += 1
    assert found > 80 * len(ran.rules)


def whole_table(prints, end, interval):
    """All candles before `end`, in one go: start times and rows in ticks and lots, shape (n, 6)."""
    ts, price, size = (np.array([getattr(one, name) for one in prints]) for name in ("ts_event", "price", "size"))
    order = np.argsort(ts, kind="stable")
    ts, price, size = ts[order] // interval, price[order], size[order]
    starts, first = np.unique(ts, return_index=True)
    last = np.append(first[1:], len(ts)) - 1
    high, low = np.maximum.reduceat(price, first), np.minimum.reduceat(price, first)
    volume, turnover = np.add.reduceat(size, first), np.add.reduceat(price * size, first)
    traded = np.column_stack((price[first], high, low, price[last], volume, turnover))
    numbers = np.arange(starts[0], end // interval)
    place = np.searchsorted(starts, numbers, side="right") - 1
    table = traded[place]
    is_empty = starts[place] != numbers
    table[is_empty, :3] = table[is_empty, 3:4]
    table[is_empty, 4:] = 0
    return numbers * interval, table.astype(np.float64)


@pytest.mark.parametrize("name", FILES)
def test_parity_of_candle_features_and_ta_lib_over_the_whole_recording(through_an_engine, name):
    """Candles made in one go from all prints, and TA-Lib and plain Python over them: no code is shared."""
    ran = through_an_engine(name, False)
    for rules in ran.rules:
        newest = {read.open_ts: read for (key, _), read in ran.read.items() if key == rules.id}
        open_ts, table = whole_table(ran.prints[rules.id], max(newest), paces(name)[1])
        unit = factors(float(rules.tick_size), float(rules.lot_size)).tolist()
        compared = 0
        for last, read in newest.items():
            end = int(np.searchsorted(open_ts, last))
            if last < 0 or end == 0:
                continue
            expected = of_candles(open_ts[:end], table[:end])
            assert {FEATURE_NAMES[i] for i in range(CANDLE.start, INDICATOR.stop) if read.warm[i]} == set(expected)
            for feature, (value, least) in expected.items():
                i = FEATURE_NAMES.index(feature)
                assert read.values[i] == pytest.approx(value * unit[i], rel=1e-9, abs=least * unit[i]), feature
            compared += 1
        assert compared > 30


def test_parity_counts_for_every_feature(through_an_engine):
    """Every one of the 110 is warm somewhere; what runs over midnight UTC has a whole day's VWAP, to its end."""
    warm = np.zeros(len(FEATURE_NAMES), np.bool_)
    for name in FILES:
        for read in through_an_engine(name, False).read.values():
            warm |= read.warm
        if name == "nexo-2024":
            assert read.warm[Feature.VWAP]
    assert [feature for feature, was in zip(FEATURE_NAMES, warm.tolist(), strict=True) if not was] == []


def test_a_batch_of_nothing_is_empty(session):
    assert vectors([], instruments.recorded()[BTC]).values.shape == (0, 110)
