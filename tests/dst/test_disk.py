"""The simulated disk keeps what was synced, loses or tears the rest, is full, and kills who writes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.apps.dst.disk import SimulatedDisk
from stakan.apps.dst.time import Killed
from stakan.core.domain.errors import DataError, DiskFull, StorageError

FOLDER = Path("/run/1")
FILE = FOLDER / "000001.journal"


def a_disk(seed=1, **more):
    disk = SimulatedDisk(seed, **more)
    disk.make_folder(FOLDER)
    return disk


@given(
    st.integers(0, 200),
    st.lists(st.binary(max_size=2_000), max_size=6),
    st.lists(st.binary(max_size=2_000), max_size=6),
)
def test_a_loss_of_power_takes_only_what_was_not_synced(seed, synced, later):
    disk = a_disk(seed)
    file = disk.append(FILE)
    for data in synced:
        file.write(data)
    file.datasync()
    for data in later:
        file.write(data)
    whole = b"".join((*synced, *later))
    assert disk.read(FILE) == whole
    disk.lose_power()
    left, durable = disk.read(FILE), b"".join(synced)
    assert left.startswith(durable)
    assert len(left) <= len(whole)
    # What is left of the rest is a beginning of it, whose last sectors may be zeros.
    rest = left[len(durable) :]
    written = rest.rstrip(b"\0")
    assert whole[len(durable) :].startswith(written)
    assert disk.is_synced(FOLDER)


def test_a_loss_of_power_loses_and_tears():
    """Over many seeds: nothing kept, a part kept, zeros at the end."""
    kinds = set()
    for seed in range(60):
        disk = a_disk(seed)
        disk.append(FILE).write(b"x" * 3_000)
        disk.lose_power()
        left = disk.read(FILE)
        kinds.add("zeros" if b"\0" in left else "all" if len(left) == 3_000 else "part" if left else "nothing")
    assert {"zeros", "part"} <= kinds


def test_a_killed_process_leaves_what_it_had_handed_over():
    disk = a_disk()
    disk.append(FILE).write(b"abc")
    assert disk.read(FILE) == b"abc"
    assert not disk.is_synced(FOLDER)


@pytest.mark.parametrize("operation", range(1, 9))
def test_whoever_does_the_nth_operation_is_killed_in_it_once(operation):
    disk = a_disk()
    file = disk.append(FILE)
    disk.kill_at = disk.operations + operation

    def work():
        for number in range(4):
            file.write(bytes([number]) * 100)
            file.datasync()

    with pytest.raises(Killed):
        work()
    assert disk.kill_at is None
    written = (operation - 1) // 2 * 100
    assert written <= disk.size(FILE) <= written + 100
    work()


def test_a_full_disk_refuses_and_may_have_taken_a_part():
    disk = a_disk()
    file = disk.append(FILE)
    file.write(b"first")
    disk.is_full = True
    assert disk.free(FOLDER) == 0
    with pytest.raises(DiskFull, match="000001"):
        file.write(b"x" * 1_000)
    with pytest.raises(DiskFull):
        disk.write_whole(FOLDER / "state", b"y")
    file.datasync()
    assert disk.read(FILE).startswith(b"first")
    assert not disk.exists(FOLDER / "state")
    disk.make_room()
    assert disk.free(FOLDER)
    disk.write_whole(FOLDER / "state", b"y")


def test_a_slow_disk_says_how_long_a_sync_took():
    took = []
    disk = a_disk(took=took.append)
    disk.sync_ns = 7
    disk.append(FILE).datasync()
    disk.write_whole(FOLDER / "state", b"y")
    disk.calm()
    disk.append(FILE).datasync()
    assert took == [7, 7, 0]


def test_names_are_changed_in_one_step_and_what_is_whole_is_durable():
    disk = a_disk()
    disk.write_whole(FOLDER / "b", b"two")
    disk.write_whole(FOLDER / "a", b"one")
    assert disk.names(FOLDER) == ["a", "b"]
    disk.rename(FOLDER / "a", FOLDER / "b")
    disk.lose_power()
    assert disk.names(FOLDER) == ["b"]
    assert disk.read(FOLDER / "b") == b"one"
    disk.remove(FOLDER / "b")
    disk.remove(FOLDER / "b")
    assert disk.names(FOLDER) == []
    assert disk.names(FOLDER.parent) == ["1"]


def test_a_file_is_cut_while_it_is_open():
    disk = a_disk()
    file = disk.append(FILE)
    file.write(b"abcdef")
    disk.truncate(FILE, 2)
    file.write(b"x")
    file.datasync()
    assert disk.stream(FILE).read() == b"abx"


def test_what_is_not_there_is_named():
    disk = SimulatedDisk(1)
    for ask in (disk.read, disk.stream, disk.size):
        with pytest.raises(DataError, match="000001"):
            ask(FILE)
    with pytest.raises(StorageError, match="000001"):
        disk.append(FILE)
