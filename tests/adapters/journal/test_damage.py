"""Any cut of the last segment leaves an exact prefix; any changed byte is found, wherever it is."""

import io

import pytest
from tests.adapters.journal.builders import MIXED, a_journal, a_timer, encode, write_step
from tests.adapters.journal.faulty import FOLDER, FaultyDisk

from stakan.adapters.journal.blocks import HEAD_BYTES, TornTail, blocks_of, heads_of, records_of
from stakan.adapters.journal.layout import segment_path, segments, snapshot_path
from stakan.adapters.journal.reading import is_complete, read_events, read_header, read_records, records_after, secure
from stakan.adapters.journal.report import cut_torn_tail, verify
from stakan.adapters.journal.snapshots import latest_state, read_states
from stakan.adapters.journal.writing import JournalLimits
from stakan.core.domain.errors import DataError


def a_disk():
    """A journal of two segments, two states and an end."""
    disk = FaultyDisk()
    with a_journal(FOLDER, disk=disk, limits=JournalLimits(block_bytes=400, ballast_bytes=0, segment_ns=6)) as journal:
        for number in range(1, 19):
            write_step(journal, number, MIXED[number % 6] if number < 4 else a_timer(number))
            if number in {9, 15}:
                journal.snapshot(number, b"state %d" % number * 9)
    assert [path.name for path in segments(FOLDER, disk)] == ["000001.journal", "000002.journal"]
    return disk


@pytest.fixture
def disk():
    return a_disk()


def bounds(disk, path, *, is_last):
    """Where each block begins, and where the last one ends."""
    found = [0]
    for head in heads_of(disk, path, is_last=is_last):
        found.append(found[-1] + HEAD_BYTES + head.length)
    return found


def as_bytes(records):
    return [encode(record) for record in records]


def read_until_error(disk, *, torn):
    found = []
    try:
        found.extend(encode(record) for record in read_records(FOLDER, torn=torn, disk=disk))
    except DataError as error:
        return found, error
    return found, None


def test_any_cut_of_the_last_segment_leaves_an_exact_prefix(disk):
    whole = as_bytes(read_records(FOLDER, disk=disk))
    path = segment_path(FOLDER, 2)
    data, starts = disk.read(path), bounds(disk, path, is_last=True)
    per_block = {}
    for length in range(len(data)):
        disk.put(path, data[:length])
        found = as_bytes(read_records(FOLDER, torn=True, disk=disk))
        assert found == whole[: len(found)]
        block = max(at for at in starts if at <= length)
        assert per_block.setdefault(block, found) == found, "as much as whole blocks hold, and no less"
        assert as_bytes(records_after(FOLDER, 0, disk=disk)) == found[1:]
        assert not is_complete(FOLDER, disk=disk)
        report = verify(FOLDER, disk=disk)
        assert (report.damage, report.gaps) == ((), ())
        if length == block:
            assert report.torn is None
            assert cut_torn_tail(FOLDER, disk=disk) == 0
            continue
        assert (report.torn.file, report.torn.at) == (path.name, block)
        with pytest.raises(TornTail, match=f"{path.name}: torn block at byte {block}$"):
            list(read_records(FOLDER, disk=disk))
        assert cut_torn_tail(FOLDER, disk=disk) == length - block
        assert disk.read(path) == data[:block]
    assert len(per_block) == 5
    assert len({len(found) for found in per_block.values()}) == 4, "the first block has the header alone"


def test_what_a_killed_process_has_handed_over_survives_the_power_once_it_is_secured():
    """Found by simulation: the next run carried on from steps that the system had not written yet, and they went."""
    for is_secured in (False, True):
        disk = FaultyDisk()
        journal = a_journal(FOLDER, disk=disk, limits=JournalLimits(ballast_bytes=0))
        for number in range(1, 4):
            write_step(journal, number, a_timer(number))
        journal.sync()
        for number in range(4, 7):
            write_step(journal, number, a_timer(number))
        journal._seal()
        journal._write()
        whole = as_bytes(records_after(FOLDER, 0, disk=disk))
        if is_secured:
            assert secure(FOLDER, disk=disk) == 0
        disk.crash(lambda synced, _written: synced)
        left = as_bytes(records_after(FOLDER, 0, disk=disk))
        assert (left == whole) == is_secured
        assert left == whole[: len(left)]


def written_without_order(synced):
    """A journal of blocks of one step, of which the first so many were synced; where its blocks begin."""
    disk = FaultyDisk()
    journal = a_journal(FOLDER, disk=disk, limits=JournalLimits(block_bytes=1, ballast_bytes=0))
    for number in range(1, 7):
        write_step(journal, number, a_timer(number))
        if number == synced:
            journal.sync()
    journal._seal()
    journal._write()
    path = segment_path(FOLDER, 1)
    return disk, path, bounds(disk, path, is_last=True)


@pytest.mark.parametrize("synced", [2, 4])
def test_a_hole_in_what_was_not_synced_is_torn_though_whole_blocks_follow_and_in_what_was_it_is_damage(synced):
    """A system writes what was not synced in any order; the power may go when it has begun at the end."""
    disk, path, starts = written_without_order(synced)
    data, whole = disk.read(path), as_bytes(read_records(FOLDER, torn=True, disk=disk))
    # The header's block, then one of each step.
    for step, at in enumerate(starts[1:-1], start=1):
        disk.put(path, data[:at] + bytes(40) + data[at + 40 :])
        found, error = read_until_error(disk, torn=False)
        assert found == whole[: len(found)]
        assert isinstance(error, TornTail) == (step > synced)
        assert f"block at byte {at}" in str(error)
        report = verify(FOLDER, disk=disk)
        assert report.is_sound == (step > synced)
        if step > synced:
            assert secure(FOLDER, disk=disk) == len(data) - at
            assert as_bytes(read_records(FOLDER, torn=True, disk=disk)) == found
        else:
            with pytest.raises(DataError, match="damaged block"):
                secure(FOLDER, disk=disk)


def test_securing_cuts_off_what_is_torn(disk):
    path = segment_path(FOLDER, 2)
    data, starts = disk.read(path), bounds(disk, path, is_last=True)
    for length in range(len(data)):
        disk.put(path, data[:length])
        whole = max(at for at in starts if at <= length)
        assert secure(FOLDER, disk=disk) == length - whole
        assert disk.read(path) == data[:whole]


def test_any_cut_of_an_earlier_segment_is_damage(disk):
    path = segment_path(FOLDER, 1)
    data, starts = disk.read(path), bounds(disk, path, is_last=False)
    for length in (*range(0, len(data), 3), *starts[:-1]):
        disk.put(path, data[:length])
        _, error = read_until_error(disk, torn=True)
        assert error is not None
        assert not isinstance(error, TornTail)
        report = verify(FOLDER, disk=disk)
        assert report.torn is None
        assert not report.is_sound


@pytest.mark.parametrize("ordinal", [1, 2])
def test_any_changed_byte_of_a_segment_is_found(disk, ordinal):
    whole = as_bytes(read_records(FOLDER, disk=disk))
    path = segment_path(FOLDER, ordinal)
    data, starts = disk.read(path), bounds(disk, path, is_last=ordinal == 2)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        disk.put(path, changed)
        block = max(start for start in starts if start <= at)
        is_torn = ordinal == 2 and block == starts[-2]
        found, error = read_until_error(disk, torn=False)
        assert found == whole[: len(found)]
        assert f"{path.name}: {'torn' if is_torn else 'damaged'} block at byte {block}" in str(error)
        assert isinstance(error, TornTail) == is_torn
        report = verify(FOLDER, disk=disk)
        assert report.is_sound == is_torn
        flaws = (report.torn,) if is_torn else report.damage
        assert [(flaw.file, flaw.at) for flaw in flaws] == [(path.name, block)]


def test_a_block_that_is_written_while_it_is_read_is_no_damage(disk):
    """The first look finds half of it; by the second it is whole, with others behind it."""
    path = segment_path(FOLDER, 2)
    whole, data, starts = as_bytes(read_records(FOLDER, disk=disk)), disk.read(path), bounds(disk, path, is_last=True)
    half = starts[1] + HEAD_BYTES + 5
    looks, stream = [], disk.stream

    def look(wanted):
        if wanted == path:
            looks.append(wanted)
        # The file had its size already when it was looked at first.
        return io.BytesIO(data[:half].ljust(len(data), b"\0")) if len(looks) == 1 else stream(wanted)

    disk.stream = look
    files = segments(FOLDER, disk)
    blocks = blocks_of(disk, files[-1], is_last=True)
    found = [encode(record) for block in blocks for record in records_of(block)]
    assert found[1:] == whole[-len(found) + 1 :]
    assert len(looks) > 1


def test_damage_of_the_last_segment_is_never_cut(disk):
    path = segment_path(FOLDER, 2)
    data = bytearray(disk.read(path))
    data[HEAD_BYTES + 3] ^= 1
    disk.put(path, data)
    with pytest.raises(DataError, match="damaged block at byte 0: not cut"):
        cut_torn_tail(FOLDER, disk=disk)
    assert disk.read(path) == data


def test_blocks_that_are_missing_or_twice_in_a_segment_are_found(disk):
    path = segment_path(FOLDER, 1)
    data, starts = disk.read(path), bounds(disk, path, is_last=False)
    disk.put(path, data[: starts[2]] + data[starts[3] :])
    with pytest.raises(DataError, match=r"step \d+ is missing before byte"):
        list(read_events(FOLDER, disk=disk))
    assert verify(FOLDER, disk=disk).gaps
    disk.put(path, data[: starts[3]] + data[starts[2] :])
    with pytest.raises(DataError):
        list(read_events(FOLDER, disk=disk))
    assert verify(FOLDER, disk=disk).damage


def test_a_segment_that_is_missing_is_named(disk):
    disk.remove(segment_path(FOLDER, 1))
    with pytest.raises(DataError, match=r"000001\.journal is missing"):
        list(read_records(FOLDER, disk=disk))


def test_any_changed_byte_of_a_state_is_found_and_an_older_one_is_taken(disk):
    states = dict(read_states(FOLDER, disk=disk))
    assert sorted(states) == [9, 15]
    path = snapshot_path(FOLDER, 15)
    data = disk.read(path)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        disk.put(path, changed)
        notes = []
        assert latest_state(FOLDER, notes=notes, disk=disk) == (9, states[9])
        assert [path.name in note for note in notes] == [True]
        assert not verify(FOLDER, disk=disk).is_sound
        with pytest.raises(DataError, match=path.name):
            list(read_states(FOLDER, disk=disk))
        assert list(read_states(FOLDER, torn=True, disk=disk)) == [(9, states[9])]
    disk.put(path, data[: len(data) // 2])
    assert latest_state(FOLDER, disk=disk) == (9, states[9])
    disk.put(path, disk.read(snapshot_path(FOLDER, 9)))
    with pytest.raises(DataError, match="renamed"):
        list(read_states(FOLDER, disk=disk))


def test_a_sound_journal_is_said_to_be_sound(disk):
    report = verify(FOLDER, disk=disk)
    assert report.is_sound
    assert report.is_complete
    assert report.torn is None
    assert report.replayable_after == 0
    assert [(one.first, one.last) for one in report.segments] == [(1, 9), (10, 18)]
    assert report.records["Header"] == 2
    assert sum(report.records[kind] for kind in ("Inbox", "Market")) == 18
    assert [one.number for one in report.snapshots] == [9, 15]
    assert read_header(FOLDER, disk=disk).first_number == 1
