"""What findings do to a signal."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.engine.builders import BTC, SECOND, an_instrument

from stakan.core.decision.suspicion import Suspicion, weigh
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import Side

NOW = 1_000 * SECOND
PARAMS = Suspicion()
RULES = an_instrument()
sides = st.sampled_from(Side)
shares = st.floats(0, 1)


def a_finding(**changes):
    values = {"pattern": Pattern.SPOOFING, "stage": Stage.SUSPECTED, "episode": 1, "side": Side.BUY}
    values |= {"low": 990, "high": 1_000, "began": NOW - SECOND, "ts_event": NOW, "confidence": 0.9}
    return Finding(instrument=BTC, **{**values, **changes})


def a_signal(**changes):
    values = {"side": Side.BUY, "strength": 0.8, "entry": 1_001, "stop_loss": 900}
    return Signal(instrument=BTC, ts_event=NOW, **{**values, **changes})


findings = st.lists(
    st.builds(
        a_finding,
        side=st.sampled_from((Side.BUY, Side.SELL, None)),
        confidence=shares,
        ts_event=st.integers(NOW - 60 * SECOND, NOW),
        low=st.integers(900, 950),
        high=st.integers(950, 1_000),
    ),
    max_size=6,
).map(lambda found: sorted(found, key=lambda one: one.ts_event))
leaning = st.one_of(st.none(), st.integers(900, 1_000))


@given(findings, sides, shares, leaning)
def test_findings_never_make_a_signal_stronger_and_change_nothing_but_strength_and_reasons(found, side, strength, at):
    signal = a_signal(side=side, strength=strength, leans_on=at)
    weighed, veto = weigh(signal, found, RULES, PARAMS, NOW)
    assert (1 - PARAMS.weight) * strength <= weighed.strength <= strength
    assert msgspec.structs.replace(weighed, strength=strength, doubt=0.0, reasons=()) == signal
    assert veto is None or at is not None


@given(findings, sides, shares, leaning)
def test_a_further_finding_never_helps(found, side, strength, at):
    signal = a_signal(side=side, strength=strength, leans_on=at)
    fewer, more = weigh(signal, found[1:], RULES, PARAMS, NOW), weigh(signal, found, RULES, PARAMS, NOW)
    assert more.signal.strength <= fewer.signal.strength or more.veto is not None
    assert fewer.veto is None or more.veto is not None


@given(findings, sides, shares, leaning)
def test_what_is_forgotten_or_speaks_for_the_other_direction_counts_as_nothing(found, side, strength, at):
    signal = a_signal(side=side, strength=strength, leans_on=at)
    since = NOW - PARAMS.memory_ns
    counted = [one for one in found if one.ts_event >= since and one.side in {None, side}]
    assert weigh(signal, found, RULES, PARAMS, NOW) == weigh(signal, counted, RULES, PARAMS, NOW)


def test_a_signal_that_leans_on_a_suspicious_price_is_vetoed_with_its_numbers():
    weighed, veto = weigh(a_signal(leans_on=995), [a_finding(detector="walls")], RULES, PARAMS, NOW)
    assert veto == "leans on spoofing of buys at 99.0 to 100.0, confidence 0.90 (walls)"
    assert weighed == a_signal(leans_on=995)


@pytest.mark.parametrize("at", [None, 989, 1_001])
def test_one_that_leans_elsewhere_is_weaker_and_says_so(at):
    weighed, veto = weigh(a_signal(leans_on=at, reasons=("wall",)), [a_finding(detector="walls")], RULES, PARAMS, NOW)
    assert veto is None
    assert weighed.strength == pytest.approx(0.8 * (1 - 0.5 * 0.9))
    assert weighed.reasons == (
        "wall",
        "strength 0.80 to 0.44: spoofing of buys at 99.0 to 100.0, confidence 0.90 (walls)",
    )


def test_doubtful_confidence_does_not_veto():
    assert weigh(a_signal(leans_on=995), [a_finding(confidence=0.79)], RULES, PARAMS, NOW).veto is None


def test_activity_of_no_side_makes_both_directions_doubtful():
    finding = a_finding(pattern=Pattern.WASH_TRADING, side=None, low=None, high=None)
    strengths = [weigh(a_signal(side=side), [finding], RULES, PARAMS, NOW).signal.strength for side in Side]
    assert strengths == [pytest.approx(0.44)] * 2


def test_without_weight_and_with_an_unreachable_veto_findings_are_for_people_only():
    signal = a_signal(leans_on=995)
    assert weigh(signal, [a_finding(confidence=1.0)], RULES, Suspicion(weight=0.0, veto=1.1), NOW) == (signal, None)


@pytest.mark.parametrize(
    ("wrong", "named"), [({"weight": 1.1}, "weight"), ({"veto": -1.0}, "veto"), ({"memory_ns": -1}, "memory")]
)
def test_impossible_parameters_are_refused_by_name(wrong, named):
    with pytest.raises(ConfigError, match=named):
        Suspicion(**wrong)
