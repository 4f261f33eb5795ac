"""The file of a segment: what a call says is on the disk is, also when another thread's sync failed or came late."""

import pytest
from tests.adapters.journal.faulty import FOLDER, FaultyDisk

from stakan.adapters.journal.segment import SegmentWriter
from stakan.core.domain.errors import StorageError

PATH = FOLDER / "000001.journal"


def durable(disk):
    """What a loss of power leaves."""
    disk.crash(lambda low, _: low)
    return bytes(disk.files[PATH].data)


def a_segment(*blocks, fails=()):
    disk = FaultyDisk(fails=fails)
    segment = SegmentWriter(disk, PATH)
    for block in blocks:
        segment.put(block)
    return disk, segment


def test_what_was_synced_aside_is_not_kept_in_memory():
    disk, segment = a_segment(b"one", b"two")
    assert (segment.size, segment.unsynced, segment.kept) == (6, 0, 6)
    segment.write()
    assert (segment.size, segment.unsynced, segment.kept) == (6, 6, 6)
    segment.sync_aside()
    segment.write()
    assert (segment.size, segment.unsynced, segment.kept) == (6, 0, 0)
    assert durable(disk) == b"onetwo"


def test_after_a_sync_aside_that_failed_a_sync_writes_everything_again():
    disk, segment = a_segment(b"one", b"two", fails=(3,))
    segment.write()
    with pytest.raises(StorageError):
        segment.sync_aside()
    segment.put(b"three")
    segment.sync()
    assert durable(disk) == b"onetwothree"


def test_a_sync_aside_that_began_before_a_cut_says_nothing_of_what_came_after():
    disk, segment = a_segment(b"one", b"two")
    segment.write()
    file, aside = disk.files[PATH], segment._aside

    def late():
        # While it syncs, the other thread's sync fails, and all is cut and written again.
        disk.fails = frozenset((disk.calls + 1,))
        with pytest.raises(StorageError):
            segment.sync()
        segment.write()

    segment._aside = type("Late", (), {"datasync": lambda _: late(), "close": lambda _: None})()
    segment.sync_aside()
    segment._aside = aside
    assert (bytes(file.data), file.synced) == (b"onetwo", 0)
    segment.write()
    assert segment.unsynced == 6, "nobody knows that it is on the disk"
    segment.sync()
    assert durable(disk) == b"onetwo"


def test_a_file_that_cannot_be_cut_is_not_written_to():
    """A write that fails half-way, a cut that fails too, and another try."""
    disk, segment = a_segment(b"one", fails=(3, 4, 5))
    segment.sync()
    segment.put(b"twelve")
    for _ in range(2):
        with pytest.raises(StorageError):
            segment.write()
        assert bytes(disk.files[PATH].data) == b"onetwe"
    segment.sync()
    assert durable(disk) == b"onetwelve"
