"""Distilling takes market data and nothing else, from the oldest segments on, whatever happens meanwhile."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.journal.builders import a_journal, a_timer, encode, write_step
from tests.adapters.journal.faulty import FOLDER, FaultyDisk
from tests.core.engine.builders import a_snapshot

from stakan.adapters.journal import retention
from stakan.adapters.journal.blocks import blocks_of, records_of
from stakan.adapters.journal.layout import BALLAST, segment_path, snapshot_numbers
from stakan.adapters.journal.reading import (
    Follower,
    first_replayable,
    is_complete,
    read_events,
    read_header,
    read_records,
    read_steps,
)
from stakan.adapters.journal.report import verify
from stakan.adapters.journal.retention import SPARE_BYTES, distil
from stakan.adapters.journal.writing import JournalLimits
from stakan.core.domain.errors import DataError, DiskFull, StorageError
from stakan.core.domain.events import FeedDown

LIMITS = JournalLimits(block_bytes=300, segment_ns=10, ballast_bytes=0)


def an_event(number):
    return a_timer(number) if number % 4 == 0 else a_snapshot(ts=number)


def a_disk(last=39, *, ends=True, final_state=True):
    """Three segments; states after every fifth step, and after the last."""
    disk = FaultyDisk()
    journal = a_journal(FOLDER, disk=disk, limits=LIMITS)
    for number in range(1, last + 1):
        write_step(journal, number, an_event(number))
        if number % 5 == 0 or (final_state and number == last):
            journal.snapshot(number, b"state %d" % number)
    if ends:
        journal.close()
    else:
        journal.flush()
    return disk


def decisions(disk):
    return [encode(one) for one in read_records(FOLDER, market=False, torn=True, disk=disk)]


def distilled(disk):
    return [one.is_distilled for one in verify(FOLDER, disk=disk).segments]


def test_the_segments_of_this_journal():
    report = verify(FOLDER, disk=a_disk())
    assert [(one.first, one.last) for one in report.segments] == [(1, 15), (16, 30), (31, 39)]


@settings(max_examples=50)
@given(st.integers(0, 60), st.booleans(), st.booleans(), st.booleans())
def test_every_decision_stays_and_so_does_what_is_younger(keep_after, ends, final_state, carried_on):
    disk = a_disk(ends=ends, final_state=final_state)
    before, whole, header = decisions(disk), dict(read_events(FOLDER, disk=disk)), read_header(FOLDER, disk=disk)
    steps = list(read_steps(FOLDER, disk=disk))
    distil(FOLDER, keep_after_ts=keep_after, is_carried_on=carried_on, disk=disk)
    assert decisions(disk) == before
    assert list(read_steps(FOLDER, disk=disk)) == steps
    assert read_header(FOLDER, disk=disk) == header
    assert is_complete(FOLDER, disk=disk) == ends
    report = verify(FOLDER, disk=disk)
    assert report.is_sound
    gone = [one for one in report.segments if one.is_distilled]
    assert gone == [one for one in report.segments if one.last_ts < keep_after][: len(gone)]
    needed = 2 if not carried_on and not (ends and final_state) else 3
    assert len(gone) == min(needed, sum(last < keep_after for last in (15, 30, 39)))
    after = first_replayable(FOLDER, disk=disk)
    whole_after = gone[-1].last if gone else 0
    assert after == min(
        (number for number in (0, *snapshot_numbers(FOLDER, disk)) if number >= whole_after), default=None
    )
    if after is not None:
        found = {number: encode(event) for number, event in read_events(FOLDER, after=after, disk=disk)}
        assert found == {number: encode(event) for number, event in whole.items() if number > after}


def test_a_market_that_is_gone_is_said_to_be_gone_and_from_where_it_is_there():
    disk = a_disk()
    done = distil(FOLDER, keep_after_ts=20, disk=disk)
    assert done.segments == ("000001.journal",)
    assert done.bytes_freed > 0
    with pytest.raises(DataError, match=r"distilled away; it can be computed again after step 15$"):
        list(read_events(FOLDER, disk=disk))
    assert verify(FOLDER, disk=disk).replayable_after == 15


@settings(max_examples=40)
@given(st.integers(0, 8000))
def test_of_the_market_as_many_bytes_stay_as_are_wanted(keep):
    disk = a_disk()
    sizes = [disk.size(segment_path(FOLDER, ordinal)) for ordinal in (1, 2, 3)]
    distil(FOLDER, keep_bytes=keep, disk=disk)
    gone = sum(distilled(disk))
    assert sum(sizes[gone:]) <= keep or gone == 3
    assert gone == 0 or sum(sizes[gone - 1 :]) > keep


def test_what_a_start_needs_and_what_is_being_written_stays():
    killed = a_disk(ends=False)
    distil(FOLDER, keep_bytes=0, disk=killed)
    assert distilled(killed) == [True, True, False]
    without_state = a_disk(final_state=False)
    distil(FOLDER, keep_bytes=0, disk=without_state)
    assert distilled(without_state) == [True, True, False], "steps 36 to 39 are after the newest state"
    over = a_disk(ends=False)
    distil(FOLDER, keep_bytes=0, is_carried_on=True, disk=over)
    assert distilled(over) == [True, True, True]


def test_states_that_only_a_distilled_segment_needs_go_with_it():
    disk = a_disk()
    assert snapshot_numbers(FOLDER, disk) == [15, 30, 35, 39]
    distil(FOLDER, keep_after_ts=31, disk=disk)
    assert snapshot_numbers(FOLDER, disk) == [30, 35, 39]
    distil(FOLDER, keep_bytes=0, disk=disk)
    assert snapshot_numbers(FOLDER, disk) == [39], "the newest one stays in any case"


def test_rules_and_interruptions_are_no_market_data():
    disk = FaultyDisk()
    with a_journal(FOLDER, disk=disk, limits=LIMITS) as journal:
        write_step(journal, 1, FeedDown(ts_event=1, ts_recv=1, instrument="test:linear:BTCUSDT", why="socket closed"))
        journal.snapshot(1, b"state")
    before = decisions(disk)
    distil(FOLDER, keep_bytes=0, disk=disk)
    assert distilled(disk) == [True]
    assert decisions(disk) == before
    assert any(b"socket closed" in one for one in before)


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(0, 50))
def test_a_crash_in_the_middle_is_harmless_and_made_good_by_the_next_call(fails_at, keep_after):
    disk = a_disk()
    before = decisions(disk)
    expected = a_disk()
    distil(FOLDER, keep_after_ts=keep_after, disk=expected)
    disk.fails, disk.calls = frozenset((fails_at,)), 0
    with suppress(StorageError):
        distil(FOLDER, keep_after_ts=keep_after, disk=disk)
    disk.crash(lambda low, _: low)
    assert decisions(disk) == before
    assert verify(FOLDER, disk=disk).is_sound
    distil(FOLDER, keep_after_ts=keep_after, disk=disk)
    assert {path: file.data for path, file in disk.files.items()} == {
        path: file.data for path, file in expected.files.items()
    }
    again = distil(FOLDER, keep_after_ts=keep_after, disk=disk)
    assert (again.segments, again.bytes_freed) == ((), 0)


@settings(max_examples=40)
@given(st.integers(1, 40))
def test_what_fails_leaves_nothing_half_made(fails_at):
    disk = a_disk()
    disk.fails, disk.calls = frozenset((fails_at,)), 0
    with suppress(StorageError):
        distil(FOLDER, keep_bytes=0, disk=disk)
    assert not [path for path in disk.files if path.name.endswith(".distilled")]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_segment_is_made_anew_only_where_there_is_room_for_it_and_for_closing_orders(missing):
    disk = a_disk()
    before = {path: bytes(file.data) for path, file in disk.files.items()}
    used = sum(len(data) for data in before.values())
    disk.capacity = used + disk.size(segment_path(FOLDER, 1)) + SPARE_BYTES - missing
    if not missing:
        assert distil(FOLDER, keep_after_ts=16, disk=disk).segments == ("000001.journal",)
        return
    with pytest.raises(DiskFull, match=r"000001\.journal is not made smaller"):
        distil(FOLDER, keep_after_ts=16, disk=disk)
    assert {path: bytes(file.data) for path, file in disk.files.items()} == before


def test_a_damaged_segment_is_left_as_it_is():
    disk = a_disk()
    path = segment_path(FOLDER, 1)
    data = bytearray(disk.read(path))
    data[len(data) // 2] ^= 1
    disk.put(path, data)
    with pytest.raises(DataError, match="damaged block"):
        distil(FOLDER, keep_bytes=0, disk=disk)
    assert disk.read(path) == data


def test_who_follows_does_not_notice():
    disk = a_disk()
    follower = Follower(FOLDER, 0, market=False, disk=disk)
    blocks = follower.blocks()
    seen = [encode(one) for _ in range(3) for one in next(blocks)]
    blocks.close()
    distil(FOLDER, keep_after_ts=31, disk=disk)
    at = follower.number
    seen_again = [one for records in follower.blocks() for one in records]
    rest = [encode(one) for one in seen_again]
    assert 0 < at < 15
    # The block that was not finished with is given again.
    whole = decisions(disk)[1:]
    assert rest == whole[-len(rest) :]
    assert seen + rest[len(seen) + len(rest) - len(whole) :] == whole


@settings(max_examples=30)
@given(st.integers(1, 39))
def test_who_stopped_in_a_segment_that_was_distilled_since_goes_on_in_it(steps):
    disk = a_disk()
    follower = Follower(FOLDER, 0, market=False, disk=disk)
    seen = []
    for records in follower.blocks():
        if follower.number >= steps:
            break
        seen += [encode(one) for one in records]
    distil(FOLDER, keep_bytes=0, is_carried_on=True, disk=disk)
    assert distilled(disk) == [True, True, True]
    seen += [encode(one) for records in follower.blocks() for one in records]
    assert follower.is_over
    assert seen == decisions(disk)[1:]


def test_a_segment_that_is_distilled_while_it_is_opened_is_read_as_it_was_found():
    class Between(FaultyDisk):
        """Distils as soon as somebody has looked at a size or opened a file."""

        pending = False

        def stream(self, path):
            return self._then(super().stream(path))

        def size(self, path):
            return self._then(super().size(path))

        def _then(self, found):
            if self.pending:
                self.pending = False
                distil(FOLDER, keep_bytes=0, is_carried_on=True, disk=self)
            return found

    disk = Between()
    disk.files = a_disk().files
    before, path = decisions(disk)[1:], segment_path(FOLDER, 1)
    disk.pending = True
    blocks = [block for block in blocks_of(disk, path, is_last=False) if block.head.last <= 15]
    assert distilled(disk)[0]
    found = [encode(one) for block in blocks for one in records_of(block, market=False)]
    assert found[1:] == before[: len(found) - 1]


def test_nothing_is_scanned_where_nothing_is_due(monkeypatch):
    disk = a_disk()
    distil(FOLDER, keep_after_ts=31, disk=disk)
    everything = sum(disk.size(segment_path(FOLDER, ordinal)) for ordinal in (1, 2, 3))

    def scanned(*_, **__):
        raise AssertionError("a segment was scanned")

    for name in ("heads_of", "blocks_of", "is_complete", "latest_state"):
        monkeypatch.setattr(retention, name, scanned)
    done = distil(FOLDER, keep_after_ts=30, keep_bytes=everything, disk=disk)
    assert (done.segments, done.bytes_freed) == ((), 0)


@pytest.mark.parametrize("carried_on", [False, True])
def test_a_crash_before_the_first_block_of_a_segment_is_harmless(carried_on):
    disk = a_disk(30, ends=False)
    disk.put(segment_path(FOLDER, 3), b"")
    before = decisions(disk)
    distil(FOLDER, keep_bytes=0, is_carried_on=carried_on, disk=disk)
    assert decisions(disk) == before
    assert distilled(disk)[0]


def test_the_ballast_of_a_killed_run_goes_once_another_has_carried_on():
    disk = a_disk(ends=False)
    disk.write_whole(FOLDER / BALLAST, b"x" * 100)
    distil(FOLDER, keep_after_ts=0, disk=disk)
    assert disk.exists(FOLDER / BALLAST)
    distil(FOLDER, keep_after_ts=0, is_carried_on=True, disk=disk)
    assert not disk.exists(FOLDER / BALLAST)
