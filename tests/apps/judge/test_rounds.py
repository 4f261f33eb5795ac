"""Rounds come out the same in any order and in any process: all that they draw comes from their names and the seed."""

import pytest

from stakan.apps.judge.contenders import contenders
from stakan.apps.judge.rounds import Course, Kind, Round, play_all
from stakan.apps.judge.sessions import SESSIONS

ROUNDS = [Round(Kind.MIXED, number, tier=2, number=1) for number, one in enumerate(SESSIONS) if one.calibration == 0.5][
    :2
]


@pytest.mark.slow
@pytest.mark.recorded
def test_processes_say_what_one_says(recorded, tmp_path):
    """They begin without decoded sessions, so that they also write them at the same time."""
    course = Course(recorded, tmp_path, 5, tuple(one for one in contenders() if one.name == "layering"))
    several = {one.round: one for one in play_all(course, ROUNDS, jobs=2)}
    backwards = {one.round: one for one in play_all(course, ROUNDS[::-1], jobs=1)}
    assert all(one.truth and one.alarms["layering"] for one in several.values())
    assert several == backwards
