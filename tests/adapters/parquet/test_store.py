import itertools
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.parquet.builders import (
    BTC,
    ETH,
    MIDNIGHT,
    START,
    a_candle,
    a_delta,
    a_market,
    a_print,
    a_session,
    a_snapshot,
    read,
    replay,
    same,
)

from stakan.adapters.parquet.catalog import SeededHistory, coverage, moment
from stakan.adapters.parquet.check import check
from stakan.adapters.parquet.layout import leftovers, recordings, visible_parts
from stakan.adapters.parquet.reader import BEGINNING, END, MarketStore
from stakan.adapters.parquet.schema import Source, StoredKind
from stakan.adapters.parquet.writer import Limits, MarketWriter, Publish
from stakan.core.domain.batch import BatchBuilder, window
from stakan.core.domain.errors import DataError, StorageError
from stakan.core.domain.units import DAY, SECOND, Side

SOURCE = Source(description="a test")


def store(root, events, *, limits=None, flush_after=(), **options):
    with MarketWriter(root, SOURCE, limits=limits, **options) as writer:
        for i, event in enumerate(events):
            writer.add(event)
            if i in flush_after:
                writer.flush()
    return MarketStore(root)


def no_sync(_handle):
    """Hundreds of small stores need not survive a loss of power."""


def assert_equal(got, wanted):
    assert len(got) == len(wanted)
    for left, right in zip(got, wanted, strict=True):
        assert same(left, right), (left, right)


# --- round trip -----------------------------------------------------------------------------------------------------


@given(a_market(), st.integers(1, 12), st.sets(st.integers(0, 40), max_size=6))
@settings(max_examples=40)
def test_what_was_written_is_read_in_order_however_it_was_split(events, row_group, flush_after):
    with tempfile.TemporaryDirectory() as folder:
        limits = Limits(row_group=row_group, buffered=20)
        history = store(Path(folder), events, limits=limits, flush_after=flush_after, fsync=no_sync).history()
        assert_equal(read(history), events)
        assert_equal(read(history), events)


@given(a_market(), st.integers(1, 12), st.data())
@settings(max_examples=40)
def test_reading_a_part_of_the_store_equals_filtering(events, row_group, data):
    times = sorted({event.ts_recv for event in events})
    start = data.draw(st.sampled_from(times)) + data.draw(st.integers(-1, 1))
    stop = data.draw(st.sampled_from(times)) + data.draw(st.integers(-1, 1))
    stored = sorted({event.instrument for event in events})
    instruments = set(data.draw(st.lists(st.sampled_from(stored), min_size=1)))
    kinds = data.draw(st.sets(st.sampled_from([StoredKind.BOOK, StoredKind.TRADES])))
    names = {StoredKind.BOOK: ("BookDelta", "BookSnapshot"), StoredKind.TRADES: ("TradePrint",)}
    types = {name for kind in kinds for name in names[kind]}
    wanted = [
        event
        for event in events
        if start <= event.ts_recv < stop and event.instrument in instruments and type(event).__name__ in types
    ]
    with tempfile.TemporaryDirectory() as folder:
        history = store(Path(folder), events, limits=Limits(row_group=row_group), fsync=no_sync).history(
            instruments, start=start, stop=stop, kinds=kinds
        )
        assert_equal(read(history), wanted)


@given(a_market(), st.integers(1, 12))
@settings(max_examples=40)
def test_columns_and_events_are_stored_alike_and_the_exchange_time_runs_on_across_windows(events, row_group):
    builders: dict[str, BatchBuilder] = {}
    for arrival, event in enumerate(events):
        builders.setdefault(event.instrument, BatchBuilder(event.instrument)).add(event, arrival)
    batches = {name: builder.build() for name, builder in sorted(builders.items())}
    with tempfile.TemporaryDirectory() as folder:
        with MarketWriter(Path(folder), SOURCE, limits=Limits(row_group=row_group), fsync=no_sync) as writer:
            writer.add_window(window(tuple(batches.values())))
        windows = list(MarketStore(Path(folder)).history().windows())
        assert_equal([event for one in windows for event in one.events()], events)
    for name, batch in batches.items():
        pieces = [piece for one in windows for piece in one.batches if piece.instrument == name]
        for column in ("ts_exchange", "arrival", "previous_sequence", "bid_count", "levels"):
            joined = np.concatenate([getattr(piece, column) for piece in pieces])
            assert np.array_equal(joined, getattr(batch, column)), column


def test_a_day_is_the_utc_day_of_the_receive_time(tmp_path):
    store(tmp_path, [a_snapshot(t=MIDNIGHT - 1), a_delta(t=MIDNIGHT)])
    assert sorted(part.day for part in visible_parts(tmp_path)) == ["2023-12-08", "2023-12-09"]


def test_two_recordings_of_other_kinds_are_read_as_one_market(tmp_path):
    books = a_session(50)
    candles = [a_candle(t=START + i * SECOND) for i in range(5)]
    store(tmp_path, books)
    history = store(tmp_path, candles).history()
    got = read(history)
    assert [event.ts_recv for event in got] == sorted(event.ts_recv for event in [*books, *candles])
    assert len(got) == len(books) + len(candles)


@given(a_market(), st.lists(st.integers(0, 2), min_size=40, max_size=40), st.integers(1, 12))
@settings(max_examples=40)
def test_any_number_of_recordings_is_read_as_one_market(events, which, row_group):
    """The events are dealt out to three recordings; arrival ordinals are those of the whole."""
    with tempfile.TemporaryDirectory() as folder:
        for recording in set(which[: len(events)]):
            with MarketWriter(Path(folder), SOURCE, limits=Limits(row_group=row_group), fsync=no_sync) as writer:
                for arrival, event in enumerate(events):
                    if which[arrival] == recording:
                        writer.add(event, arrival)
        assert_equal(read(MarketStore(Path(folder)).history()), events)


def test_a_year_of_daily_recordings_is_opened_day_by_day(tmp_path):
    for day in range(30):
        store(tmp_path, a_session(20, start=MIDNIGHT + day * DAY), fsync=no_sync)
    open_files = set()
    for _ in MarketStore(tmp_path).history().windows():
        open_files.add(sum(path.suffix == ".parquet" for path in opened_by_this_process()))
    assert max(open_files) <= 4


def opened_by_this_process():
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        pytest.skip("this system has no /proc")
    return [handle.readlink() for handle in handles.iterdir() if handle.is_symlink()]


def test_windows_stay_small_while_the_market_is_long(tmp_path):
    history = store(tmp_path, a_session(3000), limits=Limits(row_group=100)).history()
    sizes = [sum(len(batch.levels) for batch in one.batches) for one in history.windows()]
    assert max(sizes) <= 200
    assert len(sizes) > 50


def test_a_receive_time_that_goes_back_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="receive time goes back"):
        store(tmp_path, [a_delta(t=START), a_delta(t=START - 1)])
    assert visible_parts(tmp_path) == []


def test_an_empty_recording_is_refused(tmp_path):
    with pytest.raises(DataError, match="no events"):
        store(tmp_path, [])


def test_an_unknown_instrument_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=ETH):
        store(tmp_path, a_session(5)).history([ETH])


# --- crashes --------------------------------------------------------------------------------------------------------


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_an_import_that_fails_in_the_middle_leaves_nothing_behind(tmp_path):
    def broken():
        yield from a_session(500)
        raise DataError("broken line")

    with pytest.raises(DataError, match="broken line"):
        store(tmp_path, broken(), limits=Limits(row_group=50), flush_after=(100,))
    assert files(tmp_path) == []


def test_nothing_of_an_import_is_visible_before_its_end(tmp_path):
    writer = MarketWriter(tmp_path, SOURCE)
    for event in a_session(50):
        writer.add(event)
    writer.flush()
    assert files(tmp_path)
    assert read(MarketStore(tmp_path).history()) == []
    writer.close()
    assert len(read(MarketStore(tmp_path).history())) == len(a_session(50))


def test_a_killed_capture_keeps_its_finished_parts_and_loses_the_open_one(tmp_path):
    """The writer lives in another process that dies without any clean-up."""
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from builders import a_session
from stakan.adapters.parquet.schema import Source
from stakan.adapters.parquet.writer import Limits, MarketWriter, Publish
writer = MarketWriter(Path({str(tmp_path)!r}), Source(description="a feed"), publish_when=Publish.AS_WRITTEN,
                      limits=Limits(row_group=20))
events = a_session(200, step=1000)
for event in events[:100]:
    writer.add(event)
writer.flush()
for event in events[100:]:
    writer.add(event)
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    assert_equal(read(MarketStore(tmp_path).history()), a_session(200, step=1000)[:100])
    assert {path.suffix for path in leftovers(tmp_path)} == {".tmp"}
    problems = list(check(tmp_path))
    assert len(problems) == len(leftovers(tmp_path))
    assert not any(problem.is_error for problem in problems)


def test_a_killed_import_is_never_adopted_by_a_later_one(tmp_path):
    writer = MarketWriter(tmp_path, SOURCE)
    for event in a_session(20):
        writer.add(event)
    writer.flush()
    store(tmp_path, a_session(30, instrument=ETH))
    assert {event.instrument for event in read(MarketStore(tmp_path).history())} == {ETH}
    assert len(leftovers(tmp_path)) == 2


@pytest.mark.parametrize("failing", range(5))
def test_a_disk_that_fails_at_any_flush_leaves_nothing_visible(tmp_path, failing):
    calls = itertools.count()

    def fsync(handle):
        if next(calls) == failing:
            raise OSError(28, "No space left on device")
        os.fsync(handle)

    with pytest.raises(StorageError, match="No space left"):
        store(tmp_path, a_session(300), fsync=fsync)
    assert visible_parts(tmp_path) == []
    assert leftovers(tmp_path) == []


def test_a_file_system_that_is_full_is_a_storage_error_and_leaves_nothing(tmp_path):
    """A real limit of the system: files may not grow beyond 20,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    random = np.random.default_rng(1)
    levels = random.integers(1, 2**40, (200, 300, 2))
    events = [a_snapshot(t=START + i, levels=levels[i], bids=150) for i in range(200)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(StorageError, match="File too large"):
            store(tmp_path, events, limits=Limits(row_group=1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == []


def test_replacing_a_recording_is_one_step(tmp_path):
    store(tmp_path, a_session(50))
    (old,) = recordings(tmp_path)
    writer = MarketWriter(tmp_path, SOURCE)
    for event in a_session(20):
        writer.add(event)
    writer.close(replaces=[old])
    assert_equal(read(MarketStore(tmp_path).history()), a_session(20))
    assert leftovers(tmp_path) == []


# --- checks ---------------------------------------------------------------------------------------------------------


def errors(root):
    return [problem for problem in check(root) if problem.is_error]


def the_part(root, kind=StoredKind.BOOK):
    return next(part.path for part in visible_parts(root) if part.kind is kind)


def test_a_sound_store_has_no_problems(tmp_path):
    store(tmp_path, a_session(500), limits=Limits(row_group=100))
    assert list(check(tmp_path)) == []


@pytest.mark.parametrize("keep", [0.2, 0.9, 0.999])
def test_a_truncated_part_is_named_by_check_and_by_reading(tmp_path, keep):
    store(tmp_path, a_session(500))
    path = the_part(tmp_path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    assert any(problem.path == str(path) for problem in errors(tmp_path))
    with pytest.raises(DataError, match=path.name):
        read(MarketStore(tmp_path).history())


@given(st.floats(0, 0.999), st.integers(1, 255))
@settings(max_examples=40)
def test_a_flipped_byte_anywhere_is_found_by_check_and_never_read_as_other_data(where, flip):
    events = a_session(100)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store(root, events)
        path = the_part(root)
        damaged = bytearray(path.read_bytes())
        damaged[int(len(damaged) * where)] ^= flip
        path.write_bytes(damaged)
        assert any(problem.path == str(path) for problem in errors(root))
        got = outcome(lambda: read(MarketStore(root).history()))
        if isinstance(got, DataError):
            assert path.name in str(got)
        else:
            assert_equal(got, events)


def outcome(action):
    """What an action returns, or the DataError that it raises."""
    try:
        return action()
    except DataError as error:
        return error


def test_a_missing_part_is_named(tmp_path):
    store(tmp_path, a_session(50))
    path = the_part(tmp_path, StoredKind.TRADES)
    path.unlink()
    assert [problem.path for problem in errors(tmp_path)] == [str(path)]


def test_a_missing_part_is_never_read_over_in_silence(tmp_path):
    market_store = store(tmp_path, a_session(50))
    path = the_part(tmp_path, StoredKind.TRADES)
    path.unlink()
    with pytest.raises(DataError, match=path.name):
        read(market_store.history())
    assert read(market_store.history(kinds=[StoredKind.BOOK])), "what is there can still be read"


def test_a_file_of_another_tool_is_refused_by_name(tmp_path):
    store(tmp_path, a_session(50))
    path = the_part(tmp_path)
    path.with_name("mine.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="mine"):
        MarketStore(tmp_path).history()


def test_a_gap_is_counted_by_the_catalogue_and_located_by_check(tmp_path):
    events = [a_snapshot(), a_delta(sequence=2), a_delta(sequence=5), a_delta(sequence=6), a_snapshot(sequence=9)]
    store(tmp_path, events, limits=Limits(row_group=2))
    (book,) = coverage(tmp_path)
    assert book.gaps == 1
    (problem,) = errors(tmp_path)
    assert problem.row == 2
    assert "BookGap" in problem.what


def test_a_crossed_book_is_located(tmp_path):
    store(tmp_path, [a_snapshot(), a_delta(levels=((105, 1),))])
    (problem,) = errors(tmp_path)
    assert problem.row == 1
    assert "BookCrossed" in problem.what


def test_a_level_without_a_price_is_located(tmp_path):
    store(tmp_path, [a_print(), a_print(trade_id=2, price=0)])
    (problem,) = errors(tmp_path)
    assert problem.row == 1


# --- catalogue ------------------------------------------------------------------------------------------------------


def test_coverage_counts_what_there_is(tmp_path):
    events = a_session(400)
    store(tmp_path, events)
    found = {(one.day, one.kind): one for one in coverage(tmp_path)}
    books = [event for event in events if type(event).__name__ != "TradePrint"]
    assert sum(one.rows for (_, kind), one in found.items() if kind is StoredKind.BOOK) == len(books)
    assert {day for day, _ in found} == {"2023-12-08", "2023-12-09"}
    assert min(one.first_ts for one in found.values()) == events[0].ts_recv
    assert max(one.last_ts for one in found.values()) == events[-1].ts_recv


@pytest.mark.parametrize("after", [0, 1, 57, 299])
def test_the_book_of_a_moment_is_that_of_a_replay_from_the_beginning(tmp_path, after):
    events = a_session(300)
    events[150] = a_snapshot(t=events[150].ts_recv, sequence=events[150].sequence, levels=((100, 3), (101, 9)))
    at = START + after * SECOND // 5
    market_store = store(tmp_path, events, limits=Limits(row_group=40))
    shown = moment(market_store, BTC, at, prints=3)
    replayed = replay(event for event in events if event.ts_recv <= at)
    assert np.array_equal(shown.book.depth(Side.BUY), replayed.depth(Side.BUY))
    assert np.array_equal(shown.book.depth(Side.SELL), replayed.depth(Side.SELL))
    assert shown.book.sequence == replayed.sequence


@pytest.mark.parametrize("after", [1, 57, 299])
def test_a_stretch_begins_with_the_book_as_it_was_known(tmp_path, after):
    events = a_session(300)
    start = START + after * SECOND // 5
    seeded = SeededHistory(store(tmp_path, events, limits=Limits(row_group=40)), [BTC], start, END)
    got = read(seeded)
    first = replay(event for event in events if event.ts_recv < start)
    assert got[0].ts_recv == start
    assert [event.ts_recv for event in got] == sorted(event.ts_recv for event in got)
    assert np.array_equal(replay(got[:1]).depth(Side.BUY), first.depth(Side.BUY))
    whole, from_there = replay(events), replay(got)
    assert whole.sequence == from_there.sequence
    assert np.array_equal(whole.depth(Side.SELL), from_there.depth(Side.SELL))


def test_a_stretch_from_the_beginning_is_what_the_store_holds(tmp_path):
    events = a_session(30)
    assert_equal(read(SeededHistory(store(tmp_path, events), [BTC], BEGINNING, END)), events)


def test_before_the_first_snapshot_there_is_no_book(tmp_path):
    market_store = store(tmp_path, [a_delta(t=START), a_snapshot(t=START + 5)])
    with pytest.raises(DataError, match="no book snapshot"):
        moment(market_store, BTC, START + 4)


def test_a_running_capture_is_known_to_be_incomplete(tmp_path):
    writer = MarketWriter(tmp_path, SOURCE, publish_when=Publish.AS_WRITTEN)
    writer.add(a_snapshot())
    assert [record.is_complete for record in recordings(tmp_path).values()] == [False]
    writer.close()
    assert [record.is_complete for record in recordings(tmp_path).values()] == [True]
