"""Features on recorded sessions: their definitions, the batch, and what the literature's regressions give."""

from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

from stakan.adapters import instruments
from stakan.adapters.importers.recording import open_recording
from stakan.core.domain.events import BestQuote, BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import MILLISECOND, SECOND, Nanos, Side
from stakan.core.engine import Engine, EngineConfig
from stakan.core.features._order_book_kernels import balance
from stakan.core.features._window_kernels import ofi_increment
from stakan.core.features.batch import vectors
from stakan.core.features.catalogue import FEATURE_NAMES, ORDER_BOOK, Feature
from stakan.core.features.order_book import OrderBookParams
from stakan.core.features.pipeline import FeaturePipeline
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture
from stakan.core.plugins import Strategy
from tests.core.features.order_book_reference import History, Print, vector
from tests.real.conftest import SESSIONS

pytestmark = pytest.mark.recorded
FILES = {session.name: session.files for session in SESSIONS}
NAMES = FEATURE_NAMES[ORDER_BOOK]
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
    both = Both(instruments.recorded()[key], OrderBookParams(min_cluster_volume=50_000.0))
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

RECORDED: list = []


class Record(Strategy, frozen=True, kw_only=True):
    """Keeps what an engine shows to its strategies."""

    reads_densities: ClassVar[bool] = True

    def decide(self, view, state):
        RECORDED.append((view.now, view.features.values.copy(), view.features.warm.copy()))


@pytest.mark.parametrize(("name", "key"), [("btc-2023", BTC), ("bybit-capture", InstrumentId("bybit:linear:ETHUSDT"))])
def test_an_engine_s_vectors_equal_those_of_the_batch(session, name, key):
    rules = instruments.recorded()[key]
    events = [event for event in session(name) if getattr(event, "instrument", None) == key]
    events.sort(key=lambda event: event.ts_recv)
    densities = DensityParams(min_notional=20_000.0)
    config = EngineConfig(
        strategies=(("record", Record()),),
        densities=densities,
        decision_interval_ns=Nanos(500 * MILLISECOND),
        candle_interval_ns=SECOND,
    )
    RECORDED.clear()
    engine = Engine(config, [rules])
    for event in events:
        engine.step(event)
    # What woke the engine between two moments of the grid comes after the grid's own decision.
    seen = {now: (values, warm) for now, values, warm in reversed(RECORDED)}
    grid = Nanos(500 * MILLISECOND)
    batch = vectors(events, rules, interval_ns=grid, candle_interval_ns=SECOND, densities=densities)
    met = [row for row, now in enumerate(batch.ts_event.tolist()) if now in seen]
    assert len(met) > 0.9 * len(batch.ts_event) > 50
    for row in met:
        values, warm = seen[int(batch.ts_event[row])]
        np.testing.assert_allclose(batch.values[row], values, rtol=1e-9, atol=0)
        assert (batch.warm[row] == warm).all()
    assert batch.warm[-1, Feature.ORDER_FLOW_IMBALANCE]
    assert np.isfinite(batch.values).all()


def test_a_batch_of_nothing_is_empty(session):
    assert vectors([], instruments.recorded()[BTC]).values.shape == (0, 110)
