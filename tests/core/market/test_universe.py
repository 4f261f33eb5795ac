"""The ranking of instruments: order, filters, ties, and that rivals do not take turns."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.core.domain.ids import InstrumentId
from stakan.core.market.universe import DayTicker, Ranking, UniverseRules, chosen, ranked


def ticker(name: str, change="0", turnover="20000000", bid="100.00", ask="100.01") -> DayTicker:
    return DayTicker(
        instrument=InstrumentId(name),
        change=Decimal(change),
        turnover=Decimal(turnover),
        bid=Decimal(bid),
        ask=Decimal(ask),
    )


UP, FLAT, DOWN = ticker("up", "0.1"), ticker("flat", "0", "90000000"), ticker("down", "-0.2")


@pytest.mark.parametrize(
    ("ranking", "order"),
    [
        (Ranking.GAINERS, ["up", "flat", "down"]),
        (Ranking.LOSERS, ["down", "flat", "up"]),
        (Ranking.VOLUME, ["flat", "down", "up"]),
    ],
)
def test_ranks(ranking, order):
    assert ranked([UP, DOWN, FLAT], UniverseRules(ranking=ranking)) == order


@pytest.mark.parametrize(
    "illiquid",
    [
        ticker("x", turnover="9999999.99"),
        ticker("x", bid="100", ask="100.0500001"),
        ticker("x", bid="0", ask="100"),
        ticker("x", bid="100", ask="0"),
        ticker("x", bid="100.02"),
    ],
    ids=["turnover", "spread", "no bid", "no ask", "crossed"],
)
def test_what_is_not_liquid_is_left_out(illiquid):
    rules = UniverseRules(ranking=Ranking.VOLUME)
    assert ranked([illiquid, UP], rules) == ["up"]
    assert chosen([illiquid, UP], rules, current=["x"]) == ("up",)


def test_the_limits_themselves_pass():
    assert ranked([ticker("x", turnover="10000000", bid="100", ask="100.05")], UniverseRules(ranking=Ranking.VOLUME))


def test_one_that_is_in_stays_while_it_is_near():
    rules = UniverseRules(ranking=Ranking.GAINERS, size=2, keep_within=3)
    day = [ticker("a", "0.5"), ticker("b", "0.4"), ticker("c", "0.3"), ticker("d", "0.2")]
    assert chosen(day, rules) == ("a", "b")
    assert chosen(day, rules, current=["c", "d"]) == ("a", "c")
    assert chosen(day, rules, current=["b", "c"]) == ("b", "c")


tickers = st.lists(
    st.builds(
        ticker,
        st.text("abcdef", min_size=1, max_size=3),
        st.decimals(-1, 1, places=2).map(str),
        st.integers(0, 20).map(lambda n: str(n * 1_000_000)),
    ),
    max_size=30,
    unique_by=lambda one: one.instrument,
)
rules = st.builds(
    UniverseRules, ranking=st.sampled_from(Ranking), size=st.integers(1, 8), keep_within=st.integers(1, 12)
)


@given(tickers, rules, st.randoms(use_true_random=False))
def test_laws(day, rules, chance):
    order = ranked(day, rules)
    first = chosen(day, rules)
    assert list(first) == order[: rules.size]
    shuffled = day[:]
    chance.shuffle(shuffled)
    assert ranked(shuffled, rules) == order
    current = [one.instrument for one in day if chance.random() < 0.3]
    second = chosen(shuffled, rules, current)
    assert len(second) == min(rules.size, len(order))
    assert list(second) == sorted(second, key=order.index)
    # Whoever is in and near enough stays, as long as there is room for all such.
    near = [name for name in order[: max(rules.size, rules.keep_within)] if name in current]
    assert set(near[: rules.size]) <= set(second)
    # With nothing moved, the universe does not either.
    assert chosen(day, rules, second) == second
