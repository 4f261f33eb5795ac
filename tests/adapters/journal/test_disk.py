"""The port to the disk: the real one and the one of tests do the same, and failures have a name."""

from contextlib import closing
from pathlib import Path

import pytest
from tests.adapters.journal.faulty import FaultyDisk

from stakan.adapters.journal.disk import LOCAL
from stakan.core.domain.errors import DataError, DiskFull, StorageError


@pytest.fixture(params=["local", "in memory"])
def disk(request):
    return LOCAL if request.param == "local" else FaultyDisk()


def test_what_is_appended_comes_behind_what_is_there_also_after_a_cut(disk, tmp_path):
    path = tmp_path / "file"
    with closing(disk.append(path)) as file, closing(disk.append(path)) as other:
        assert disk.size(path) == 0
        file.write(b"one")
        other.write(b"two")
        file.datasync()
        assert disk.read(path) == b"onetwo"
        disk.truncate(path, 4)
        file.write(b"three")
        assert disk.read(path) == b"onetthree"
    with closing(disk.append(path)) as file:
        file.write(b"!")
    with closing(disk.stream(path)) as stream:
        stream.seek(4)
        assert stream.read(5) == b"three"


def test_files_are_written_whole_named_anew_and_removed(disk, tmp_path):
    folder = tmp_path / "a" / "b"
    assert disk.names(folder) == []
    disk.make_folder(folder)
    disk.make_folder(folder)
    for name in ("two", "one"):
        disk.write_whole(folder / name, name.encode())
    disk.write_whole(folder / "one", b"another")
    assert disk.names(folder) == ["one", "two"]
    disk.rename(folder / "one", folder / "two")
    assert disk.names(folder) == ["two"]
    assert disk.read(folder / "two") == b"another"
    assert disk.exists(folder / "two")
    disk.remove(folder / "two")
    disk.remove(folder / "two")
    assert not disk.exists(folder / "two")
    assert disk.free(tmp_path) > 0


def test_what_is_not_there_is_named(disk, tmp_path):
    path = tmp_path / "nothing"
    for call in (disk.read, disk.stream, disk.size):
        with pytest.raises(DataError, match=f"{path} does not exist"):
            call(path)


def test_a_full_disk_has_an_error_of_its_own():
    with closing(LOCAL.append(Path("/dev/full"))) as file, pytest.raises(DiskFull, match=r"/dev/full.*make room"):
        file.write(b"x")


def test_other_failures_of_writing_name_the_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    below = tmp_path / "file" / "x"
    calls = (
        lambda: LOCAL.append(below),
        lambda: LOCAL.write_whole(below, b""),
        lambda: LOCAL.make_folder(below),
        lambda: LOCAL.truncate(tmp_path / "nothing", 0),
        lambda: LOCAL.rename(tmp_path / "nothing", tmp_path / "other"),
    )
    for call in calls:
        with pytest.raises(StorageError, match=str(tmp_path)) as error:
            call()
        assert not isinstance(error.value, DiskFull)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"], "nothing half-written stays"
