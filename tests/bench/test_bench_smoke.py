"""Every row of the bench can still be measured: tiny sizes, no peers, no statement about speed."""

import pytest
from bench._rows import Measured, Options, Row, interleaved
from bench._table import all_cells, legend, markdown

from bench import (
    book,
    day,
    detectors,
    engine_path,
    exchange_board,
    exchange_server,
    features,
    feed,
    hundred_symbols,
    journal,
    limiter,
    matching,
    observing,
    order_path,
    parts,
    safeguards,
    session,
    sql,
)

TINY = Options(scale=0.005, repetitions=1, peers=False)


def measured(rows):
    assert rows
    for row in rows:
        assert row.ours is not None, row.name
        assert row.ours.median > 0, row.name
    return rows


@pytest.mark.parametrize(
    "module",
    [
        book,
        engine_path,
        exchange_board,
        exchange_server,
        feed,
        hundred_symbols,
        journal,
        limiter,
        observing,
        order_path,
        parts,
        safeguards,
    ],
)
def test_rows_on_a_random_walk_are_measured(module):
    measured(module.run(TINY))


def test_a_journal_becomes_rows_and_operations_are_timed(tmp_path):
    rows = sql.run(Options(scratch=tmp_path, scale=0.005, repetitions=1, peers=False))
    assert {row.name for row in rows} >= {"sql.projection_sqlite", "sql.save"}
    measured([row for row in rows if not row.skipped])


def test_strategy_of_the_engine_path_sees_every_message():
    messages = book.heavy_frames(TINY, 20)
    _, seen = engine_path.ours(messages)
    assert seen.calls == len(messages)
    assert seen.micro_price > 0


@pytest.mark.recorded
@pytest.mark.parametrize("module", [detectors, matching, session])
def test_rows_on_recordings_are_measured(module, recorded, tmp_path):
    measured(module.run(Options(data=recorded, scratch=tmp_path, scale=0.02, repetitions=1, peers=False)))


@pytest.mark.slow
@pytest.mark.recorded
def test_the_plain_way_sees_every_feature_as_ours_does(recorded):
    rows = measured(features.side_by_side(*features.session(Options(data=recorded, scale=0.2))))
    assert [row.failed for row in rows] == ["", ""]


@pytest.mark.slow
@pytest.mark.recorded
def test_a_day_is_watched_to_its_end(recorded, tmp_path):
    rows = measured(day.run(Options(data=recorded, scratch=tmp_path)))
    assert [row.verdict for row in rows] == ["pass", "pass"]


def a_row(**changes):
    return Row(**{"name": "x", "what": "w", "unit": "n/s", "event": "e", "data": "d", **changes})


def test_a_row_passes_only_when_it_reaches_every_bar():
    ours, peer = Measured((10.0, 12.0, 11.0)), Measured((5.0, 5.0, 5.0))
    assert a_row(ours=ours).verdict == "info"
    assert a_row(ours=ours, bar=11.0).verdict == "pass"
    assert a_row(ours=ours, bar=11.5).verdict == "miss"
    assert a_row(ours=ours, bar=11.5, lower=True).verdict == "pass"
    assert a_row(ours=ours, peer=peer, bar_ratio=2.0).verdict == "pass"
    assert a_row(ours=ours, peer=peer, bar=11.0, bar_ratio=2.5).verdict == "miss"
    assert a_row(ours=ours, bar=1.0, failed="grew").verdict == "miss"
    assert a_row(skipped="no data").verdict == "skipped"


def test_sides_take_turns_and_the_first_round_is_not_counted():
    taken = []
    sides = [lambda: taken.append("a") or float(len(taken)), lambda: taken.append("b") or float(len(taken))]
    first, second = interleaved(2, *sides)
    assert taken == ["a", "b", "a", "b", "a", "b"]
    assert first.samples == (3.0, 5.0)
    assert second.samples == (4.0, 6.0)


def test_a_table_names_data_and_notes_below_it():
    rows = [a_row(name="a", note="how"), a_row(name="b", data="other", skipped="no peer")]
    assert legend(rows) == ["data A: d", "data B: other", "[1] how"]
    assert all_cells(rows)[0][1] == "w [1]\nevent: e"
    assert markdown(rows).splitlines()[-1] == "| b | w<br>event: e | B |  |  |  | skipped: no peer |"
