"""What judged findings do to the confidence of a new one."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.core.detectors._patterns import Patterns
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.patterns import Known, PatternLibrary

numbers = st.floats(-1e6, 1e6)
evidence = st.fixed_dictionaries({"size_ratio": numbers, "life_ms": numbers})
known = st.builds(
    Known,
    detector=st.sampled_from(("a", "b")),
    pattern=st.sampled_from((Pattern.SPOOFING, Pattern.LAYERING)),
    evidence=evidence,
    verdict=st.floats(-1, 1),
)
libraries = st.builds(
    PatternLibrary,
    known=st.lists(known, max_size=8).map(tuple),
    radius=st.floats(0.01, 10),
    nearest=st.integers(1, 5),
    most=st.floats(0, 1),
)


def a_finding(confidence=0.6, detector="a", pattern=Pattern.SPOOFING, **numbers):
    return Finding(
        instrument=InstrumentId("test:linear:BTCUSDT"), detector=detector, pattern=pattern, stage=Stage.SUSPECTED,
        episode=1, began=0, ts_event=1, confidence=confidence, evidence=numbers or {"size_ratio": 10.0, "life_ms": 500.0},
    )  # fmt: skip


def a_known(verdict=1.0, detector="a", pattern=Pattern.SPOOFING, **numbers):
    evidence = numbers or {"size_ratio": 10.0, "life_ms": 500.0}
    return Known(detector=detector, pattern=pattern, evidence=evidence, verdict=verdict)


findings = st.builds(lambda numbers, confidence: a_finding(confidence, **numbers), evidence, st.floats(0, 1))


@given(libraries, findings)
def test_confidence_stays_between_nothing_and_certainty_and_moves_no_farther_than_allowed(library, finding):
    weighed = Patterns(library).weigh(finding)
    assert 0 <= weighed.confidence <= 1
    moved = weighed.confidence - finding.confidence
    assert -library.most * finding.confidence - 1e-12 <= moved <= library.most * (1 - finding.confidence) + 1e-12
    rest = {name: value for name, value in weighed.evidence.items() if not name.startswith("known_")}
    assert rest == finding.evidence


@given(libraries, findings)
def test_the_same_library_gives_the_same_answer_also_after_a_trip_through_bytes(library, finding):
    again = msgspec.json.decode(msgspec.json.encode(library), type=PatternLibrary)
    assert Patterns(again).weigh(finding) == Patterns(library).weigh(finding)


@given(libraries, findings)
def test_judged_the_other_way_round_it_says_the_opposite(library, finding):
    opposite = [msgspec.structs.replace(one, verdict=-one.verdict) for one in library.known]
    turned = msgspec.structs.replace(library, known=tuple(opposite))
    score, asked = Patterns(library).judge(finding)
    assert Patterns(turned).judge(finding) == (pytest.approx(-score), asked)
    assert -1 <= score <= 1


@given(libraries, findings)
def test_numbers_in_another_unit_change_nothing(library, finding):
    def scaled(numbers):
        return {name: value * 8 for name, value in numbers.items()}

    other = [msgspec.structs.replace(one, evidence=scaled(one.evidence)) for one in library.known]
    judged = Patterns(msgspec.structs.replace(library, known=tuple(other))).judge(
        msgspec.structs.replace(finding, evidence=scaled(finding.evidence))
    )
    score, asked = Patterns(library).judge(finding)
    if any(any(one.evidence.values()) for one in library.known):  # scales are their own where all are 0
        assert judged == (pytest.approx(score), asked)


def test_a_repeat_of_a_real_one_raises_and_one_of_a_false_one_lowers_confidence():
    for verdict, expected in ((1.0, 0.6 + 0.5 * 0.4), (0.5, 0.6 + 0.25 * 0.4), (-1.0, 0.6 - 0.5 * 0.6), (0.0, 0.6)):
        weighed = Patterns(PatternLibrary(known=(a_known(verdict),))).weigh(a_finding())
        assert weighed.confidence == pytest.approx(expected)
        assert (weighed.evidence["known_patterns"], weighed.evidence["known_score"]) == (1.0, verdict)


def test_distance_is_measured_in_typical_differences():
    """Life times of 400 and 600 differ typically by 100; 550 is half of that from 600, one and a half from 400."""
    library = PatternLibrary(known=(a_known(1.0, life_ms=600.0), a_known(-1.0, life_ms=400.0)))
    assert Patterns(library).judge(a_finding(life_ms=550.0)) == (pytest.approx(0.5), 1)
    assert Patterns(library).judge(a_finding(life_ms=500.0)) == (pytest.approx(0.0), 2)
    assert Patterns(library).judge(a_finding(life_ms=701.0)) == (0.0, 0)


def test_only_the_nearest_are_asked():
    library = PatternLibrary(known=(a_known(1.0), *(a_known(-1.0, size_ratio=11.0, life_ms=500.0),) * 5), nearest=1)
    assert Patterns(library).judge(a_finding()) == (1.0, 1)


@pytest.mark.parametrize(
    "finding",
    [a_finding(detector="b"), a_finding(pattern=Pattern.LAYERING), a_finding(size_ratio=10.0), a_finding(x=1.0)],
    ids=["another detector", "another pattern", "a number less", "another number"],
)
def test_what_cannot_be_compared_is_left_as_it_is(finding):
    patterns = Patterns(PatternLibrary(known=(a_known(), a_known(detector="c"))))
    assert patterns.weigh(finding) is finding


def test_nothing_known_and_nothing_told_leave_it_as_it_is():
    bare = msgspec.structs.replace(a_finding(), evidence={})
    for library in (PatternLibrary(), PatternLibrary(known=(msgspec.structs.replace(a_known(), evidence={}),))):
        assert Patterns(library).weigh(bare) is bare
    odd = a_finding(size_ratio=math.nan, life_ms=500.0)
    assert Patterns(PatternLibrary(known=(a_known(),))).weigh(odd) is odd


def test_what_was_weighed_before_is_compared_by_what_its_detector_told():
    weighed = Patterns(PatternLibrary(known=(a_known(),))).weigh(a_finding())
    again = Known(detector="a", pattern=Pattern.SPOOFING, evidence=weighed.evidence, verdict=-1.0)
    assert Patterns(PatternLibrary(known=(again,))).judge(a_finding()) == (-1.0, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"radius": 0.0},
        {"nearest": 0},
        {"most": 1.5},
        {"known": (a_known(verdict=2.0),)},
        {"known": (a_known(life_ms=math.inf),)},
    ],
)
def test_libraries_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError):
        PatternLibrary(**wrong)
