"""Files are read as streams and named when torn; receive times never go back."""

import gzip
import zipfile

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.importers.clock import ReceiveClock, UnitOfTime, clock_shift
from stakan.adapters.importers.text import csv_tables, first_line, lines
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import Ticker
from stakan.core.domain.ids import InstrumentId

TEXT = b"".join(b"line %d %d\n" % (number, number * 7919 % 104729) for number in range(200_000))


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


def zipped(tmp_path, data, names=("one",)):
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return path.read_bytes()


def a_file(folder, data):
    path = folder / "some.data"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd", "zip"])
def test_lines_are_the_same_however_they_are_packed(tmp_path, kind):
    packed = {
        "plain": lambda: TEXT,
        "gzip": lambda: gzip.compress(TEXT),
        "zstd": lambda: zstd(TEXT),
        "zip": lambda: zipped(tmp_path, TEXT),
    }[kind]()
    assert [line for _, line in lines(a_file(tmp_path, packed))] == TEXT.splitlines()


@pytest.mark.parametrize("kind", ["gzip", "zstd", "zip"])
def test_a_torn_archive_is_named(tmp_path, kind):
    packed = {"gzip": gzip.compress, "zstd": zstd, "zip": lambda data: zipped(tmp_path, data)}[kind](TEXT)
    path = a_file(tmp_path, packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"some\.data: cannot be read to its end, fetch it again"):
        list(lines(path))


def test_a_damaged_archive_is_named(tmp_path):
    packed = bytearray(gzip.compress(TEXT))
    packed[-8:] = b"12345678"
    with pytest.raises(DataError, match=r"some\.data: cannot be read to its end"):
        list(lines(a_file(tmp_path, bytes(packed))))


def test_a_zip_of_several_files_is_refused(tmp_path):
    path = a_file(tmp_path, zipped(tmp_path, b"x", ("one", "two")))
    with pytest.raises(DataError, match="should hold exactly one file, holds 2"):
        list(lines(path))


def test_empty_lines_are_skipped_and_counted(tmp_path):
    path = a_file(tmp_path, b"\n\na\n \nb")
    assert list(lines(path)) == [(3, b"a"), (5, b"b")]
    assert first_line(path) == b"a"
    assert first_line(a_file(tmp_path, b"")) == b""


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        list(lines(tmp_path / "nowhere"))


def test_csv_columns_are_text_and_rows_have_line_numbers(tmp_path):
    ((first, table),) = csv_tables(a_file(tmp_path, b"a,b\n1.50,x\n,y\n"))
    assert first == 2
    assert table.to_pydict() == {"a": ["1.50", ""], "b": ["x", "y"]}


def test_a_torn_csv_row_is_named(tmp_path):
    with pytest.raises(DataError, match=r"at or after line 2: .*Expected 2 columns, got 1"):
        list(csv_tables(a_file(tmp_path, b"a,b\n1,2\n3")))


@given(st.lists(st.integers(0, 999_999_999)), st.integers(0, 10**9))
def test_receive_times_never_go_back(recorded, shift):
    clock = ReceiveClock(shift)
    stamps = [clock.stamp(time) for time in recorded]
    assert stamps == sorted(stamps)
    assert all(stamp >= time + shift for stamp, time in zip(stamps, recorded, strict=True))


def test_a_step_back_of_more_than_a_second_is_disorder():
    clock = ReceiveClock()
    clock.stamp(5_000_000_000)
    with pytest.raises(DataError, match=r"goes back by 2\.000 s: put the rows in order"):
        clock.stamp(3_000_000_000)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))))
def test_the_shift_is_the_least_that_leaves_no_negative_latency(times):
    events = [Ticker(ts_event=event, ts_recv=recv, instrument=InstrumentId("a:linear:b")) for event, recv in times]
    shift = clock_shift(events)
    latencies = [recv + shift - event for event, recv in times]
    assert shift >= 0
    assert all(latency >= 0 for latency in latencies)
    assert shift == 0 or min(latencies) == 0


@pytest.mark.parametrize(
    ("text", "factor"),
    [("1680652700", 10**9), ("1680652700423", 10**6), ("1680652700423575", 1000), ("1680652700423575123", 1)],
)
def test_the_unit_of_time_is_found_by_magnitude(text, factor):
    assert UnitOfTime().nanoseconds(text.encode()) == int(text) * factor


def test_mixed_units_and_impossible_times_are_refused():
    unit = UnitOfTime()
    unit.nanoseconds(b"1680652700423575")
    with pytest.raises(DataError, match="mixes units of time"):
        unit.nanoseconds(b"1680652700423575123")
    for text in (b"12345", b"-680652700423575", b"16806527004235.5", b"", b"abc"):
        with pytest.raises(DataError, match="is no time"):
            UnitOfTime().nanoseconds(text)
