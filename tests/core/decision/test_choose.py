"""From many opinions to at most one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.engine.builders import BTC

from stakan.core.decision.choose import choose
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import Side


def a_signal(strategy="s", side=Side.BUY, strength=0.8):
    return Signal(instrument=BTC, side=side, strength=strength, ts_event=1, entry=100, stop_loss=90, strategy=strategy)


strengths = st.one_of(st.floats(0, 1), st.sampled_from((0.5, 0.7, float("nan"))))
opinions = st.lists(st.tuples(st.sampled_from(Side), strengths), max_size=6).map(
    lambda found: [a_signal(f"s{i}", side, strength) for i, (side, strength) in enumerate(found)]
)
bars = st.sampled_from((0.0, 0.5, 0.7, 1.0))


def summary(choice):
    return choice.winner, {(passed.signal.strategy, passed.reason) for passed in choice.passed}


@given(opinions, bars, st.randoms())
def test_the_order_of_opinions_does_not_matter(signals, bar, random):
    shuffled = list(signals)
    random.shuffle(shuffled)
    assert summary(choose(shuffled, bar)) == summary(choose(signals, bar))


@given(opinions, bars)
def test_every_opinion_wins_or_is_passed_over_with_a_reason(signals, bar):
    choice = choose(signals, bar)
    answered = [passed.signal.strategy for passed in choice.passed]
    answered += [choice.winner.strategy] if choice.winner else []
    assert sorted(answered) == [signal.strategy for signal in signals]
    assert all(passed.detail for passed in choice.passed)


@given(opinions, bars)
def test_a_winner_is_the_strongest_and_nobody_strong_disagrees(signals, bar):
    winner = choose(signals, bar).winner
    strong = [signal for signal in signals if signal.strength >= bar]
    if winner is None:
        assert not strong or {signal.side for signal in strong} == set(Side)
    else:
        assert winner.strength == max(signal.strength for signal in strong)
        assert {signal.side for signal in strong} == {winner.side}


@given(opinions, bars)
def test_turning_every_opinion_round_turns_the_choice_round(signals, bar):
    turned = [msgspec.structs.replace(signal, side=signal.side.opposite) for signal in signals]
    winner, mirror = choose(signals, bar).winner, choose(turned, bar).winner
    assert (winner and (winner.strategy, winner.side)) == (mirror and (mirror.strategy, mirror.side.opposite))


def test_equal_strength_goes_to_the_first_name():
    choice = choose([a_signal("b"), a_signal("a"), a_signal("c")], 0.5)
    assert choice.winner == a_signal("a")
    assert [(passed.signal.strategy, passed.reason) for passed in choice.passed] == [
        ("b", Reason.OUTVOTED),
        ("c", Reason.OUTVOTED),
    ]


def test_a_weak_contradiction_does_not_count():
    assert choose([a_signal("a"), a_signal("b", Side.SELL, 0.4)], 0.5).winner == a_signal("a")


def test_contradiction_takes_none_and_names_both_sides():
    choice = choose([a_signal("a"), a_signal("b", Side.SELL)], 0.5)
    assert choice.winner is None
    assert {passed.reason for passed in choice.passed} == {Reason.CONFLICTING_SIGNALS}
    assert all(passed.detail == "a buy, b sell" for passed in choice.passed)


@pytest.mark.parametrize("bar", [0.0, 1.0])
def test_no_opinions_are_no_choice(bar):
    assert choose([], bar) == (None, ())
