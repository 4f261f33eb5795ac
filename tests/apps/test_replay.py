"""A journal is computed again in parts: what differs is found wherever it is, and no number of processes changes that."""

import shutil

import msgspec
import pytest
from tests.apps.journals import LIMITS, a_run

from stakan.adapters.journal.disk import LOCAL
from stakan.adapters.journal.jobs import Inline
from stakan.adapters.journal.layout import snapshot_path
from stakan.adapters.journal.reading import begins, read_events, read_header, read_span, read_steps
from stakan.adapters.journal.snapshots import read_states, write_snapshot
from stakan.adapters.journal.writing import FileJournal
from stakan.apps.replay import Start, engine_of, parts_of, replay_journal
from stakan.core.domain.errors import DataError
from stakan.core.engine import Engine


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return a_run(tmp_path_factory.mktemp("runs") / "run") / "journal"


@pytest.fixture
def journal(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "journal")


def engine_at(journal, number) -> Engine:
    return engine_of(read_header(journal), Start(number, dict(read_states(journal))[number]))


def test_states_on_the_way_are_compared_and_one_fold_from_the_start_comes_to_them(sound):
    states, last = dict(read_states(sound)), read_span(sound).last
    answer = replay_journal(sound)
    assert answer.is_equal
    assert (answer.after, answer.steps, answer.states) == (0, last, len(states))
    engine = engine_of(read_header(sound))
    for number, event in read_events(sound):
        engine.step(event)
        assert number not in states or engine.snapshot() == states[number]


@pytest.mark.parametrize("wanted", [None, 0, 700, 10**9])
def test_any_number_of_processes_finds_the_same(sound, wanted):
    seen = []
    alone = replay_journal(sound, wanted, jobs=1)
    assert replay_journal(sound, wanted, seen.append, jobs=2) == alone
    assert sum(seen) == alone.steps == read_span(sound).last - alone.after


def test_a_state_that_no_step_tells_of_is_found_where_it_was_written(journal):
    numbers = [number for number, _ in read_states(journal)]
    engine = engine_at(journal, numbers[1])
    for own in engine.state.instruments.values():
        own.cool_until = 1
    write_snapshot(LOCAL, journal, numbers[1], engine.snapshot())
    for jobs in (1, 2):
        answer = replay_journal(journal, jobs=jobs)
        assert (answer.differences, answer.first_other_state, answer.is_equal) == (0, numbers[1], False)


def test_what_is_behind_a_step_that_differs_is_judged_by_what_was_recorded(sound, tmp_path):
    steps = {step.number: step for step in read_steps(sound)}
    wrong = [number for number, step in steps.items() if step.facts][1::40]
    with FileJournal(tmp_path / "other", read_header(sound), limits=LIMITS) as other:
        for number, event in read_events(sound):
            other.event(number, event)
            if number in steps:
                step = steps[number]
                other.append(msgspec.structs.replace(step, facts=()) if number in wrong else step)
    for number, state in read_states(sound):
        write_snapshot(LOCAL, tmp_path / "other", number, state)
    answer = replay_journal(tmp_path / "other", jobs=2)
    assert len(wrong) > 2
    assert (answer.differences, answer.first_difference, answer.first_other_state) == (len(wrong), wrong[0], None)
    assert not answer.is_equal


def test_a_state_that_is_damaged_or_of_another_engine_is_passed_over(journal):
    numbers = [number for number, _ in read_states(journal)]
    whole = replay_journal(journal)
    path = snapshot_path(journal, numbers[0])
    path.write_bytes(path.read_bytes()[:-1])
    write_snapshot(LOCAL, journal, numbers[1], b"\x80")
    assert replay_journal(journal) == msgspec.structs.replace(whole, states=len(numbers) - 2)


def test_of_a_run_that_is_still_written_only_states_that_stay_are_used(sound, tmp_path):
    """The newest two make room for newer ones, which may happen between the plan of the parts and their turn."""
    steps = {step.number: step for step in read_steps(sound)}
    journal = FileJournal(tmp_path / "running", read_header(sound), limits=LIMITS, jobs=Inline())
    with_states = dict(read_states(sound))
    for at, event in read_events(sound):
        journal.event(at, event)
        if at in steps:
            journal.append(steps[at])
        if at in with_states:
            journal.snapshot(at, with_states[at])
    journal.flush()
    try:
        parts = parts_of(tmp_path / "running", 0)
        stay = set(begins(tmp_path / "running"))
        assert len(parts) > 2
        assert {part.after for part in parts} <= stay
        assert parts[-1].until == read_span(tmp_path / "running").last
        answer = replay_journal(tmp_path / "running")
        assert answer.is_equal
        assert not answer.is_complete
    finally:
        journal.abandon()


def test_a_damaged_block_is_an_error_in_any_process(journal):
    path = sorted(journal.glob("*.journal"))[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for jobs in (1, 2):
        with pytest.raises(DataError, match="damaged block"):
            replay_journal(journal, jobs=jobs)
