"""Planting into recorded sessions: the recording is left as it was but for what the truth says."""

import numpy as np
import pytest

from stakan.adapters.importers.lobster import events, read_day
from stakan.apps.judge.injection import inject
from stakan.apps.judge.order_truth import DAY, spoof_shaped
from stakan.apps.judge.rounds import MIXED
from stakan.apps.judge.schedule import EVERYTHING, plan, planted_share
from stakan.apps.judge.sessions import SESSIONS, load, parts
from stakan.core.domain.events import TradePrint
from stakan.core.domain.units import Side
from stakan.core.market.book import Book
from tests.apps.judge.laws import assert_minus_plants_is_the_recording

pytestmark = pytest.mark.recorded


TESTED = [session for session in SESSIONS if session.is_liquid and session.calibration < 1]


@pytest.fixture(scope="module", params=TESTED, ids=lambda session: session.name)
def session(request, recorded, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return request.param, load(request.param, recorded, cache), cache


def test_the_book_less_what_is_planted_is_the_recorded_book_at_every_moment(session):
    which, ground, _ = session
    stretch = parts(which, ground).test
    for tier in (1, 2, 3):
        scripts = plan(ground, np.random.default_rng(tier), stretch, EVERYTHING, tier, MIXED)
        assert len(scripts) > 5
        assert planted_share(ground, stretch, scripts) <= 0.001
        assert_minus_plants_is_the_recording(ground, scripts)


def test_a_session_from_the_cache_is_the_session(session, recorded):
    which, ground, cache = session
    again = load(which, recorded, cache)
    assert again.instrument == ground.instrument
    assert [(e.ts_event, type(e)) for e in inject(again, [])] == [(e.ts_event, type(e)) for e in ground.events]
    for one, other in zip(again, ground, strict=True):
        if isinstance(one, np.ndarray):
            assert (one == other).all()
    for side in (Side.BUY, Side.SELL):
        assert (again.touch[side] == ground.touch[side]).all()
        assert (again.reference[side] == ground.reference[side]).all()


def test_a_lobster_day_is_one_sound_book_that_ends_as_its_file_does(recorded):
    day = read_day(recorded / DAY)
    book = Book(day.instrument.id)
    for event in events(day):
        if not isinstance(event, TradePrint):
            assert book.apply(event) is None
    shown = [(price // 100, lots) for price, lots in zip(day.levels[-1, 2::4], day.levels[-1, 3::4], strict=True)]
    assert book.depth(Side.BUY, 10).tolist() == [list(level) for level in shown]
    assert book.unknown_deletes == 0
    orders = spoof_shaped(day)
    assert len(orders) == 3_084
