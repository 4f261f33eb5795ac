"""Stylised facts hold in kind on the generated market, and the measures themselves are right on known series."""

import numpy as np
import pytest
from tests.adapters.synthetic.markets import a_config, batches

from stakan.adapters.synthetic import facts
from stakan.adapters.synthetic.config import demo_config
from stakan.adapters.synthetic.facts import stylised_facts
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.core.domain.errors import DataError
from stakan.core.domain.units import SECOND


@pytest.fixture(scope="module")
def windows():
    return list(SyntheticMarket(demo_config()).windows())


@pytest.mark.parametrize("which", range(3))
def test_the_demo_market_shows_the_stylised_facts(windows, which):
    seen = stylised_facts(batches(windows, which))
    assert seen.return_kurtosis > 4.0
    assert seen.volatility_memory > 0.02
    assert seen.arrival_variation > 1.2
    assert seen.count_dispersion > 1.5
    assert seen.flow_memory_1 > 0.1
    assert seen.flow_memory_10 > 0.0
    assert 1.0 <= seen.spread_median_ticks <= seen.spread_p95_ticks < 60.0
    assert 5.0 < seen.levels_per_message < 100.0


def test_symbols_of_the_demo_move_together(windows):
    returns = []
    for which in range(3):
        samples = facts._replay(batches(windows, which))
        returns.append(facts._second_returns(samples)[:590].reshape(-1, 10).sum(axis=1))
    correlation = np.corrcoef(returns)
    assert correlation[np.triu_indices(3, 1)].min() > 0.2


def test_imbalance_of_the_near_book_says_something_about_the_coming_second(windows):
    """Only the sign is asked for: the flow leans on the book as real flow does; nothing is tuned to a profit."""
    samples = facts._Samples()
    book = facts.Book(windows[0].batches[0].instrument)
    imbalance = []
    for batch in batches(windows, 0):
        for row in np.flatnonzero(batch.kind <= 1).tolist():
            book.apply(batch.event(row))
            samples.look(book, int(batch.ts_event[row]))
            bid, ask = book.best_bid_size, book.best_ask_size
            imbalance.append((bid - ask) / (bid + ask))
    ts, mids = np.array(samples.ts), np.array(samples.mids)
    later = np.searchsorted(ts, ts + SECOND).clip(max=len(ts) - 1)
    assert np.corrcoef(imbalance, mids[later] - mids)[0, 1] > 0.0


def test_measures_of_known_series():
    rng = np.random.default_rng(5)
    noise = rng.standard_normal(20_000)
    assert facts._kurtosis(noise) == pytest.approx(3.0, abs=0.2)
    assert facts._autocorrelation(noise, 1) == pytest.approx(0.0, abs=0.03)
    assert facts._autocorrelation(np.repeat(noise, 2), 1) == pytest.approx(0.5, abs=0.03)
    assert facts._autocorrelation(np.ones(10), 1) == 0.0
    assert facts._kurtosis(np.ones(10)) == 0.0


def test_too_short_a_stretch_is_refused():
    market = SyntheticMarket(a_config(duration_ns=2 * SECOND))
    with pytest.raises(DataError, match="longer stretch"):
        stylised_facts(batches(market.windows(), 0))
