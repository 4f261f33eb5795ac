"""Whatever the disk does, what was synced is there after a crash, and what is there is an exact prefix."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.journal.builders import a_header, a_journal, a_step, a_timer, encode
from tests.adapters.journal.faulty import FOLDER, FaultyDisk
from tests.core.engine.builders import a_snapshot

from stakan.adapters.journal.jobs import InThread
from stakan.adapters.journal.layout import BALLAST
from stakan.adapters.journal.reading import is_complete, read_events, read_records
from stakan.adapters.journal.records import Header, number_of
from stakan.adapters.journal.report import cut_torn_tail, verify
from stakan.adapters.journal.snapshots import latest_state, read_states
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.core.domain.errors import DiskFull, StorageError

TIGHT = JournalLimits(block_bytes=300, segment_ns=40, segment_bytes=3000, unsynced_bytes=900, ballast_bytes=0)

acts = st.lists(st.sampled_from(("step", "step", "step", "book", "sync", "flush", "snapshot")), max_size=60)


class Life:
    """A journal that is written by a script on a bad disk, and what its writer may rely on."""

    def __init__(self, disk):
        self.disk = disk
        self.journal = a_journal(FOLDER, disk=disk, limits=TIGHT)
        self.events = []
        self.states = {}
        self.synced = 0

    def live(self, script):
        for act in script:
            with suppress(StorageError):
                getattr(self, act)()

    def step(self):
        self.enter(a_timer(len(self.events) + 1))

    def book(self):
        self.enter(a_snapshot(ts=len(self.events) + 1))

    def enter(self, event):
        self.events.append(event)
        try:
            self.journal.event(len(self.events), event)
        finally:
            # It was taken, whether or not it is on the disk yet.
            self.journal.append(a_step(len(self.events), event.ts_recv, is_empty=len(self.events) % 3 == 0))

    def sync(self):
        self.journal.sync()
        self.synced = len(self.events)

    def flush(self):
        self.journal.flush()

    def snapshot(self):
        number = len(self.events)
        self.states[number] = b"state %d" % number
        self.journal.snapshot(number, self.states[number])

    def recovered(self):
        """Events that are there after all, checked against those that were written."""
        report = verify(FOLDER, disk=self.disk)
        assert (report.damage, report.gaps) == ((), ())
        assert all(not one.flaw for one in report.snapshots)
        found = list(read_events(FOLDER, torn=True, disk=self.disk))
        assert [number for number, _ in found] == list(range(1, len(found) + 1))
        assert [encode(event) for _, event in found] == [encode(event) for event in self.events[: len(found)]]
        for number, state in read_states(FOLDER, disk=self.disk):
            assert (state, number <= len(found)) == (self.states[number], True)
        return len(found)


@settings(max_examples=150)
@given(acts, st.sets(st.integers(5, 60), max_size=6), st.data(), st.booleans())
def test_what_was_synced_survives_failing_writes_and_syncs_and_the_loss_of_power(script, fails, data, garbage):
    life = Life(FaultyDisk(fails=fails))
    life.live(script)
    life.disk.crash(lambda low, high: data.draw(st.integers(low, high)), garbage=garbage)
    assert life.recovered() >= life.synced
    torn = verify(FOLDER, disk=life.disk).torn
    size = sum(len(file.data) for file in life.disk.files.values())
    cut = cut_torn_tail(FOLDER, disk=life.disk)
    assert (cut > 0) == (torn is not None)
    assert size - cut == sum(len(file.data) for file in life.disk.files.values())
    assert verify(FOLDER, disk=life.disk).torn is None
    assert life.recovered() >= life.synced


@settings(max_examples=100)
@given(acts, acts, st.integers(0, 4000), st.booleans())
def test_a_full_disk_takes_nothing_from_the_journal_and_all_is_written_when_there_is_room(before, after, room, crash):
    life = Life(FaultyDisk())
    life.disk.capacity = life.disk.size(FOLDER / "000001.journal") + room
    life.live(before)
    life.disk.capacity = None
    if crash:
        life.disk.crash(lambda low, _: low)
        assert life.recovered() >= life.synced
        return
    life.live(after)
    with suppress(StorageError):
        life.journal.flush()
    life.journal.close()
    assert life.recovered() == len(life.events)
    assert is_complete(FOLDER, disk=life.disk)
    assert verify(FOLDER, disk=life.disk).torn is None


@settings(max_examples=60)
@given(acts, st.data())
def test_a_killed_process_leaves_what_it_flushed(script, data):
    life = Life(FaultyDisk())
    life.live(script)
    life.flush()
    assert life.recovered() == len(life.events)


def test_where_nobody_syncs_what_a_loss_of_power_may_take_is_bounded():
    disk = FaultyDisk()
    journal = a_journal(FOLDER, disk=disk, limits=TIGHT)
    for number in range(1, 100):
        journal.event(number, a_timer(number))
        file = disk.files[FOLDER / "000001.journal"]
        assert len(file.data) - file.synced <= TIGHT.unsynced_bytes + TIGHT.block_bytes
    assert file.synced > 3 * TIGHT.unsynced_bytes


def test_a_full_disk_reaches_the_caller_and_the_ballast_makes_room():
    disk = FaultyDisk()
    journal = FileJournal(FOLDER, a_header(), disk=disk, limits=JournalLimits(ballast_bytes=5000))
    disk.capacity = sum(len(file.data) for file in disk.files.values())
    journal.event(1, a_timer(1))
    with pytest.raises(DiskFull):
        journal.sync()
    assert journal.backlog > 0
    assert disk.exists(FOLDER / BALLAST)
    assert journal.release_ballast()
    assert not journal.release_ballast()
    journal.sync()
    assert journal.backlog == 0
    assert [number for number, _ in read_events(FOLDER, disk=disk)] == [1]
    assert disk.files[FOLDER / "000001.journal"].synced == disk.size(FOLDER / "000001.journal")
    disk.capacity = None
    assert journal.hold_ballast()
    journal.close()
    assert not disk.exists(FOLDER / BALLAST)


def test_a_disk_that_is_full_from_the_beginning_holds_no_journal():
    disk = FaultyDisk(capacity=6000)
    with pytest.raises(DiskFull, match="cannot write a journal into"):
        FileJournal(FOLDER, a_header(), disk=disk, limits=JournalLimits(ballast_bytes=7000))
    disk.capacity = 30
    with pytest.raises(DiskFull):
        a_journal(FOLDER, disk=disk)
    assert disk.files == {}


def test_a_state_that_cannot_be_written_is_told_by_the_next_call_and_does_not_hold_up_orders():
    disk = FaultyDisk()
    jobs = InThread()
    journal = a_journal(FOLDER, disk=disk, jobs=jobs)
    journal.event(1, a_timer(1))
    journal.sync()
    disk.write_whole = lambda path, _data: (_ for _ in ()).throw(DiskFull(f"cannot write {path}"))
    with suppress(DiskFull):
        journal.snapshot(1, b"state")
    while not jobs.is_idle:
        pass
    journal.event(2, a_timer(2))
    journal.sync()
    with suppress(DiskFull):
        journal.flush()
    journal.flush()
    journal.close()
    assert latest_state(FOLDER, disk=disk) is None
    assert {number_of(one) for one in read_records(FOLDER, disk=disk) if not isinstance(one, Header)} == {1, 2}
