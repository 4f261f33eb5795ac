"""A day's file is what the market of that day and its lead-in give, whatever else is built, and however often."""

import multiprocessing

import msgspec
import numpy as np
import pytest
from tests.adapters.parquet.builders import BTC
from tests.apps.recorded_days import ETH, FIRST, SECOND_DAY, a_store, events, rules, written

from stakan.adapters.parquet.features import FeatureFile, contents_of, write
from stakan.adapters.parquet.layout import instrument_folder
from stakan.adapters.parquet.reader import MarketStore, first_moment
from stakan.apps.config import load_settings
from stakan.apps.feature_files import build, lead_in, plan
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.events import BookDelta, BookSnapshot
from stakan.core.domain.units import SECOND, Nanos, Side
from stakan.core.features.batch import vectors
from stakan.core.features.catalogue import FEATURE_COUNT, FEATURE_SET, SCHEMA_HASH, Feature
from stakan.core.features.scaling import Scaling, VectorRows, fit
from stakan.core.market.book import Book
from stakan.core.market.candles import KEPT
from stakan.core.market.densities import DensityParams
from stakan.core.market.tape import KEEP_NS

GRID = 2 * SECOND
BOTH = (FIRST, SECOND_DAY)
WITHOUT_END = [
    Feature.LEVEL_TTL_AVG,
    Feature.LEVEL_TTL_STD,
    Feature.SMART_MONEY_INDEX,
    Feature.SUPPORT_LEVEL_1,
    Feature.RESISTANCE_LEVEL_1,
    Feature.DISTANCE_TO_SUPPORT,
    Feature.DISTANCE_TO_RESISTANCE,
]
"""They look back as far as a level lives or is remembered, or a thousand prints: before any lead-in in a slow market."""

SETTINGS = load_settings(None, ["engine.candle_interval=1s"], {})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return a_store(tmp_path_factory.mktemp("store"), (BTC, ETH))


def planned(store, out, span=BOTH, keys=(BTC,), grid=GRID, settings=SETTINGS):
    return plan(MarketStore(store), keys, span, out, grid, settings)


def built(store, out, span=BOTH, **more):
    """Build what is missing; returns the days that were."""
    return [one.day for one in build(planned(store, out, span, **more).days, 1)]


def path_of(out, day, key=BTC):
    return instrument_folder(out, key) / f"{day}.parquet"


def rows_of(path):
    chunks = list(FeatureFile(path).chunks())
    return VectorRows(*(np.concatenate([chunk[column] for chunk in chunks]) for column in range(3)))


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """Both days, built at once."""
    out = tmp_path_factory.mktemp("whole")
    assert built(store, out) == list(BOTH)
    return out


def test_a_file_holds_the_vectors_of_its_day(whole):
    """The first day begins with the recording: its vectors are those of the batch, to the bit of a float32."""
    batch = vectors(
        list(events()), rules(), interval_ns=Nanos(GRID), candle_interval_ns=SECOND, densities=DensityParams()
    )
    found = rows_of(path_of(whole, FIRST))
    known = batch.ts_event + 3_000_000 < first_moment(SECOND_DAY)
    assert len(found.ts_event) == known.sum() > 300
    assert np.array_equal(found.ts_event, batch.ts_event[known])
    assert np.array_equal(found.values, batch.values[known].astype(np.float32))
    assert np.array_equal(found.warm, batch.warm[known])
    assert found.values.dtype == np.float32


def test_after_its_lead_in_a_day_is_as_if_all_had_been_followed(whole):
    batch = vectors(
        list(events()), rules(), interval_ns=Nanos(GRID), candle_interval_ns=SECOND, densities=DensityParams()
    )
    found = rows_of(path_of(whole, SECOND_DAY))
    later = batch.ts_event + 3_000_000 >= first_moment(SECOND_DAY)
    kept = np.delete(np.arange(FEATURE_COUNT), WITHOUT_END)
    assert np.array_equal(found.ts_event, batch.ts_event[later])
    assert len(found.ts_event) == 20
    np.testing.assert_allclose(found.values[:, kept], batch.values[later][:, kept], rtol=1e-6)
    assert np.array_equal(found.warm[:, kept], batch.warm[later][:, kept])


def test_days_that_are_built_one_by_one_are_those_that_are_built_together(store, whole, tmp_path):
    for day in reversed(BOTH):
        assert built(store, tmp_path, (day, day)) == [day]
        assert same(rows_of(path_of(tmp_path, day)), rows_of(path_of(whole, day)))


def test_what_lies_before_the_lead_in_makes_no_difference(whole, tmp_path):
    """The same market, recorded only from a moment before it: not a bit differs, of no feature."""
    start = first_moment(SECOND_DAY) - lead_in(SECOND)
    market = list(events())
    before = [event for event in market if event.ts_recv < start]
    book = Book(instrument=BTC)
    for event in before:
        if isinstance(event, BookDelta | BookSnapshot):
            book.apply(event)
    sides = book.depth(Side.BUY), book.depth(Side.SELL)
    snapshot = msgspec.structs.replace(
        market[0],
        ts_event=book.ts_event,
        ts_recv=book.ts_recv,
        sequence=book.sequence,
        levels=np.concatenate(sides),
        bid_count=len(sides[0]),
    )
    assert len(before) > 100
    store = written(tmp_path / "store", BTC, [snapshot, *market[len(before) :]])
    assert built(store, tmp_path, (SECOND_DAY, SECOND_DAY)) == [SECOND_DAY]
    assert same(rows_of(path_of(tmp_path, SECOND_DAY)), rows_of(path_of(whole, SECOND_DAY)))


def test_processes_build_what_one_builds(store, whole, tmp_path):
    found = planned(store, tmp_path, keys=(BTC, ETH))
    walked = []
    done = list(build(found.days, 2, walked.append))
    assert {(one.instrument, one.day) for one in done} == {(key, day) for key in (BTC, ETH) for day in BOTH}
    # The bar has arrived where it was to go.
    assert sum(walked) == sum(day.length for day in found.days)
    for day in BOTH:
        assert same(rows_of(path_of(tmp_path, day)), rows_of(path_of(whole, day)))
    assert not multiprocessing.active_children()


def test_the_way_that_is_shown_is_the_way_that_is_walked(store, tmp_path):
    found = planned(store, tmp_path)
    for day in found.days:
        walked = []
        list(build([day], 1, walked.append))
        assert sum(walked) == day.length > 0
        assert min(walked) >= 0


def test_a_build_that_was_broken_off_goes_on(store, tmp_path):
    going = build(planned(store, tmp_path).days, 1)
    assert next(going).day == FIRST
    going.close()
    found = planned(store, tmp_path)
    assert [one.day for one in found.present] == [FIRST]
    assert not found.present[0].is_new
    before = path_of(tmp_path, FIRST).stat()
    assert built(store, tmp_path) == [SECOND_DAY]
    assert built(store, tmp_path) == []
    assert path_of(tmp_path, FIRST).stat().st_mtime_ns == before.st_mtime_ns


def test_what_breaks_off_leaves_no_half_a_file(store, tmp_path):
    def breaks(_length):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(build(planned(store, tmp_path).days, 1, breaks))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_other_data_is_built_anew_and_other_options_are_refused(store, tmp_path):
    changed = a_store(tmp_path / "store", seed=2)
    out = tmp_path / "out"
    assert built(store, out) == list(BOTH)
    assert built(changed, out) == list(BOTH)
    with pytest.raises(ConfigError, match=r"grid_ns 2000000000 instead of 1000000000\): name another --out"):
        planned(changed, out, grid=SECOND)
    others = load_settings(None, ["engine.candle_interval=1s", "features.cluster_multiple=5"], {})
    with pytest.raises(ConfigError, match="cluster_multiple"):
        planned(changed, out, settings=others)


def test_a_day_that_is_added_later_leaves_the_days_before_alone(tmp_path):
    """Data sets grow at their end."""
    store = a_store(tmp_path / "store", after=-100)
    assert built(store, tmp_path / "out") == [FIRST]
    before = contents_of(path_of(tmp_path / "out", FIRST)).data
    a_store(store, (ETH,))
    assert built(store, tmp_path / "out") == []
    assert contents_of(path_of(tmp_path / "out", FIRST)).data == before


def test_a_file_says_what_it_is_of(whole):
    contents = contents_of(path_of(whole, FIRST))
    assert (contents.instrument, contents.day) == (BTC, FIRST)
    assert (contents.feature_set, contents.schema_hash) == (FEATURE_SET, SCHEMA_HASH)
    assert (contents.options.grid_ns, contents.options.candle_interval_ns) == (GRID, SECOND)
    assert contents.options.params["cluster_multiple"] == 3.0
    assert len(contents.data) == 16


def test_nothing_to_build_is_said(store, tmp_path):
    with pytest.raises(DataError, match="no order books of bybit:linear:BTCUSDT in this time"):
        planned(store, tmp_path, ("2020-01-01", "2020-12-31"))


def test_scalers_are_fitted_on_files_as_on_arrays(whole):
    files = [FeatureFile(path_of(whole, day)) for day in BOTH]
    arrays = [rows_of(file.path) for file in files]
    middle = int(files[0].ts_event[100])
    for scaling in Scaling:
        for stop in (middle, 2**62):
            assert fit(scaling, files, stop) == fit(scaling, arrays, stop)
    assert fit(Scaling.STANDARD, files, middle).rows == 100


def test_files_of_other_features_and_damaged_ones_are_refused(whole, tmp_path):
    path = path_of(whole, FIRST)
    other = tmp_path / "other.parquet"
    raw = path.read_bytes()
    write(other, msgspec.structs.replace(contents_of(path), feature_set="stakan-110-0"), [])
    with pytest.raises(DataError, match=r"other\.parquet: it is of feature set 'stakan-110-0'"):
        FeatureFile(other)
    other.write_bytes(raw[:-10])
    with pytest.raises(DataError, match=r"other\.parquet: cannot be read"):
        FeatureFile(other)
    flipped = bytearray(raw)
    flipped[200] ^= 0xFF
    other.write_bytes(flipped)
    with pytest.raises(DataError, match="cannot be read"):
        list(FeatureFile(other).chunks())


def test_a_market_file_is_no_file_of_features(store):
    part = next(store.rglob("book-*.parquet"))
    with pytest.raises(DataError, match=r"no file of feature vectors; `stakan features build`"):
        contents_of(part)


def test_the_lead_in_covers_all_candles_and_the_longest_window():
    for interval in (SECOND, 60 * SECOND):
        assert lead_in(interval) >= KEPT * interval + KEEP_NS
