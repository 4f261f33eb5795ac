"""Segments and states: when a new one begins, what is kept, and how a run carries on from another."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.journal.builders import a_header, a_journal, a_step, a_timer, write_step
from tests.adapters.journal.faulty import FOLDER, FaultyDisk
from tests.core.engine.builders import a_snapshot

from stakan.adapters.journal import blocks
from stakan.adapters.journal.disk import LOCAL
from stakan.adapters.journal.jobs import InThread
from stakan.adapters.journal.layout import BALLAST, segments, snapshot_numbers
from stakan.adapters.journal.reading import (
    Extent,
    Follower,
    first_replayable,
    is_complete,
    read_events,
    read_header,
    read_recorded,
    read_records,
    read_span,
    read_steps,
    records_after,
)
from stakan.adapters.journal.records import Header, Inbox, Market, Outcome
from stakan.adapters.journal.report import verify
from stakan.adapters.journal.retention import distil
from stakan.adapters.journal.snapshots import latest_state, read_states
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.core.domain.errors import InvariantViolated, StorageError

LIMITS = JournalLimits(block_bytes=300, segment_ns=10, ballast_bytes=0)


def first_numbers(disk):
    return [(one.first, one.last) for one in verify(FOLDER, disk=disk).segments]


def live(journal, numbers, states=()):
    for number in numbers:
        write_step(journal, number, a_timer(number))
        if number in states:
            journal.snapshot(number, b"state %d" % number)


def test_a_segment_begins_behind_the_first_state_after_its_time_by_receive_time():
    disk = FaultyDisk()
    with a_journal(FOLDER, disk=disk, limits=LIMITS) as journal:
        live(journal, range(1, 35), states=(5, 12, 15, 25, 30))
    assert first_numbers(disk) == [(1, 12), (13, 25), (26, 34)]
    headers = [record for record in read_records(FOLDER, disk=disk) if isinstance(record, Header)]
    assert len(headers) == 1, "each segment has it, a reader gets it once"
    assert verify(FOLDER, disk=disk).records["Header"] == 3


def test_a_segment_begins_behind_the_first_state_after_its_size():
    disk = FaultyDisk()
    limits = JournalLimits(block_bytes=100, segment_bytes=1500, ballast_bytes=0)
    with a_journal(FOLDER, disk=disk, limits=limits) as journal:
        live(journal, range(1, 60), states=range(1, 60))
    assert len(first_numbers(disk)) > 3
    assert all(1500 <= one.stored_bytes < 2200 for one in verify(FOLDER, disk=disk).segments[:-1])


def test_without_states_there_is_one_segment():
    disk = FaultyDisk()
    with a_journal(FOLDER, disk=disk, limits=LIMITS) as journal:
        live(journal, range(1, 60))
    assert first_numbers(disk) == [(1, 59)]


def test_the_newest_two_states_and_those_that_segments_begin_with_are_kept():
    disk = FaultyDisk()
    with a_journal(FOLDER, disk=disk, limits=LIMITS) as journal:
        live(journal, range(1, 35), states=(5, 12, 15, 20, 25, 28, 30, 32, 34))
    assert snapshot_numbers(FOLDER, disk) == [12, 25, 32, 34]
    assert dict(read_states(FOLDER, disk=disk))[25] == b"state 25"
    assert latest_state(FOLDER, disk=disk) == (34, b"state 34")
    assert latest_state(FOLDER, at_most=31, disk=disk) == (25, b"state 25")
    assert latest_state(FOLDER, at_most=11, disk=disk) is None


def test_history_is_on_the_disk_before_the_state_that_stands_for_it():
    disk = FaultyDisk()
    journal = a_journal(FOLDER, disk=disk, limits=LIMITS)
    live(journal, range(1, 8), states=(7,))
    disk.crash(lambda low, _: low)
    assert latest_state(FOLDER, disk=disk)[0] == read_span(FOLDER, disk=disk).last == 7


def test_a_run_that_carries_on_begins_with_the_state_and_counts_on():
    disk = FaultyDisk()
    header = a_header(carried_from="yesterday")
    with a_journal(FOLDER, disk=disk, limits=LIMITS, header=header, carried=(41, b"carried")) as journal:
        live(journal, range(42, 60), states=(50, 53, 54, 55))
    found = read_header(FOLDER, disk=disk)
    assert (found.first_number, found.carried_from) == (42, "yesterday")
    assert snapshot_numbers(FOLDER, disk) == [41, 53, 54, 55], "that of the beginning is kept"
    assert dict(read_states(FOLDER, disk=disk))[41] == b"carried"
    assert [number for number, _ in read_events(FOLDER, disk=disk)] == list(range(42, 60))
    assert first_replayable(FOLDER, disk=disk) == 41
    assert verify(FOLDER, disk=disk).is_sound
    span = read_span(FOLDER, disk=disk)
    assert (span.first, span.last, span.first_ts, span.last_ts) == (42, 59, 42, 59)
    assert Follower(FOLDER, 0, disk=disk).number == 0
    numbers = {one.number for one in records_after(FOLDER, 0, disk=disk) if isinstance(one, Inbox | Market)}
    assert numbers == set(range(42, 60))


def test_a_run_that_carries_on_is_sound_before_its_first_step():
    disk = FaultyDisk()
    a_journal(FOLDER, disk=disk, carried=(41, b"carried")).close()
    assert verify(FOLDER, disk=disk).is_sound
    assert list(read_events(FOLDER, disk=disk)) == []
    assert read_span(FOLDER, disk=disk).last == 41


@settings(max_examples=60)
@given(st.integers(0, 40), st.booleans(), st.sets(st.integers(1, 40)))
def test_reading_after_a_step_gives_the_rest_whatever_the_segments(after, market, states):
    disk = FaultyDisk()
    with a_journal(FOLDER, disk=disk, limits=LIMITS) as journal:
        for number in range(1, 41):
            write_step(journal, number, a_snapshot(ts=number) if number % 2 else a_timer(number))
            if number in states:
                journal.snapshot(number, b"state")
    assert [number for number, _ in read_events(FOLDER, after=after, disk=disk)] == list(range(after + 1, 41))
    steps = [number for number in range(after + 1, 41) if number % 3]
    assert [step.number for step in read_steps(FOLDER, after=after, disk=disk)] == steps
    turns = [(number, step and step.number) for number, _, step in read_recorded(FOLDER, after=after, disk=disk)]
    assert turns == [(number, number if number in steps else None) for number in range(after + 1, 41)]
    found = [one for one in records_after(FOLDER, after, market=market, disk=disk) if not isinstance(one, Outcome)]
    assert len(found) == 1 + sum(market or number % 2 == 0 for number in range(after + 1, 41))


def test_records_of_a_stretch_of_time_are_whole_blocks_around_it():
    disk = FaultyDisk()
    with a_journal(FOLDER, disk=disk, limits=LIMITS) as journal:
        live(journal, range(1, 41), states=range(5, 41, 5))
    found = [one for one in read_records(FOLDER, since=17, until=19, disk=disk) if isinstance(one, Inbox)]
    assert {17, 18, 19} <= {one.number for one in found} < set(range(1, 41))


# --- the writer -----------------------------------------------------------------------------------------------------


def test_steps_have_one_possible_order():
    journal = a_journal(FOLDER, disk=FaultyDisk())
    live(journal, range(1, 4))
    with pytest.raises(InvariantViolated, match="step 5 was to be written after step 3"):
        journal.event(5, a_timer(5))
    with pytest.raises(InvariantViolated, match="outcome of step 2"):
        journal.append(a_step(2))
    with pytest.raises(InvariantViolated, match="state after step 2"):
        journal.snapshot(2, b"state")


def test_a_step_that_cannot_be_written_leaves_nothing_of_itself():
    disk = FaultyDisk()
    journal = a_journal(FOLDER, disk=disk)
    live(journal, range(1, 3))
    with pytest.raises(NotImplementedError):
        journal.event(3, a_timer(3).__class__(ts_event=3, ts_recv=3, key=object()))
    journal.abandon()
    assert [number for number, _ in read_events(FOLDER, disk=disk)] == [1, 2]


def test_a_run_that_failed_leaves_a_journal_without_an_end(tmp_path):
    def fail():
        with a_journal(tmp_path) as journal:
            journal.event(1, a_timer(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [type(record) for record in read_records(tmp_path)] == [Header, Inbox]
    assert not is_complete(tmp_path)


def test_a_journal_is_never_written_over(tmp_path):
    (tmp_path / "000001.journal").write_bytes(b"precious")
    with pytest.raises(StorageError, match="already holds a journal"):
        a_journal(tmp_path)
    assert (tmp_path / "000001.journal").read_bytes() == b"precious"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write a journal into"):
        a_journal(tmp_path / "file" / "journal")


def test_an_end_is_written_once_and_nothing_is_left_beside_the_stream(tmp_path):
    journal = FileJournal(tmp_path, a_header(), jobs=InThread(), limits=JournalLimits(ballast_bytes=1000))
    assert (tmp_path / BALLAST).stat().st_size == 1000
    live(journal, range(1, 4), states=(2,))
    journal.flush()
    journal.close()
    journal.close()
    journal.abandon()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001.journal", "state-000000000002.snapshot"]
    assert verify(tmp_path).records["End"] == 1


def test_threads_write_what_the_stream_does_not_wait_for(tmp_path):
    with a_journal(tmp_path, jobs=InThread(), limits=LIMITS) as journal:
        for number in range(1, 200):
            write_step(journal, number, a_timer(number))
            if number % 3 == 0:
                journal.flush()
            if number % 7 == 0:
                journal.snapshot(number, b"state %d" % number)
    report = verify(tmp_path)
    assert report.is_sound
    assert len(segments(tmp_path, LOCAL)) > 10
    begins = {one.last for one in report.segments[:-1]}
    assert {one.number for one in report.snapshots} == begins | {189, 196}


def noting(looked_at, block_at):
    def noted(file, path, at, *others, **named):
        looked_at.add(at)
        return block_at(file, path, at, *others, **named)

    return noted


@settings(max_examples=30)
@given(st.lists(st.integers(0, 12), max_size=8))
def test_where_a_growing_journal_ends_is_looked_for_only_behind_where_it_ended(portions):
    disk, number = FaultyDisk(), 0
    journal = a_journal(FOLDER, disk=disk, limits=LIMITS)
    extent = Extent(FOLDER, disk=disk)
    for portion in portions:
        live(journal, range(number + 1, number + portion + 1), states=(number + portion,) if portion else ())
        number += portion
        journal.flush()
        assert extent.steps() == (1, number)
        looked_at = set()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(blocks, "block_at", noting(looked_at, blocks.block_at))
            assert extent.steps() == (1, number)
        assert looked_at <= {0}, "only whether it was distilled since"
    distil(FOLDER, keep_bytes=0, is_carried_on=True, disk=disk)
    assert extent.steps() == Extent(FOLDER, disk=disk).steps() == (1, number)
