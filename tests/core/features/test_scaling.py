"""A scaler knows its training rows and nothing else, whatever order and pieces they come in."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.core.domain.errors import DataError
from stakan.core.features.catalogue import FEATURE_COUNT, FEATURE_NAMES, FEATURE_SET, Feature
from stakan.core.features.scaling import Moments, Scaling, VectorRows, demand, fit
from stakan.core.features.vector import FeatureVector

EVERYTHING = 2**62
FEW = settings(max_examples=25)
"""All features are looked at in each."""
BOTH = pytest.mark.parametrize("scaling", list(Scaling))


def rows(seed, count, first=0):
    """Correlated, skewed columns of many magnitudes; one is constant, one never warm, others are now and then."""
    chance = np.random.default_rng(seed)
    values = chance.standard_t(4, (count, FEATURE_COUNT)) * 10.0 ** (np.arange(FEATURE_COUNT) % 7 - 3)
    values += 100 * (np.arange(FEATURE_COUNT) % 3)
    warm = chance.random((count, FEATURE_COUNT)) < 0.8
    values[:, 3] = 0.1
    warm[:, 4] = False
    return VectorRows(np.arange(first, first + count, dtype=np.int64), values, warm)


def joined(*parts):
    return VectorRows(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("ts_event", "values", "warm"))
    )


def close(one, other):
    assert (one.rows, one.first_ts, one.last_ts) == (other.rows, other.first_ts, other.last_ts)
    mine, theirs = columns(one), columns(other)
    assert (mine[0] == theirs[0]).all()
    size = np.abs(theirs[1]) + theirs[2]
    assert (np.abs(mine[1] - theirs[1]) <= 1e-9 * size).all()
    assert (np.abs(mine[2] - theirs[2]) <= 1e-9 * theirs[2]).all()


def columns(scaler):
    """Warm rows, centres and scales of all features."""
    return np.array([[one.rows, one.center, one.scale] for one in scaler.features]).T


@FEW
@given(st.integers(0, 2**32), st.integers(2, 200))
def test_a_standard_scaler_has_the_means_and_deviations_of_warm_rows(seed, count):
    given_rows = rows(seed, count)
    scaler = fit(Scaling.STANDARD, [given_rows], EVERYTHING)
    for index, found in enumerate(scaler.features):
        warm = given_rows.values[given_rows.warm[:, index], index]
        assert (found.name, found.rows) == (FEATURE_NAMES[index], len(warm))
        if len(warm) > 1 and index != 3:
            assert abs(found.center - np.mean(warm)) <= 1e-9 * np.abs(warm).max()
            assert abs(found.scale - np.std(warm)) <= 1e-9 * np.abs(warm).max()
        else:
            assert found.scale == 0


@FEW
@given(st.integers(0, 2**32), st.integers(50, 200))
def test_a_robust_scaler_is_not_moved_by_outliers(seed, count):
    given_rows = rows(seed, count)
    scaler = fit(Scaling.ROBUST, [given_rows], EVERYTHING)
    for index, found in enumerate(scaler.features):
        warm = given_rows.values[given_rows.warm[:, index], index]
        assert found.rows == len(warm)
        if len(warm):
            assert found.center == pytest.approx(np.median(warm))
            assert found.scale == np.percentile(warm, 75) - np.percentile(warm, 25)
    wild = msgspec.structs.replace(given_rows, values=given_rows.values.copy())
    wild.values[np.argmax(wild.values[:, 0]), 0] = 1e12
    again = fit(Scaling.ROBUST, [wild], EVERYTHING).features[0]
    assert abs(again.center) < 1


@BOTH
@FEW
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(0, 60))
def test_what_comes_after_the_training_time_never_changes_a_scaler(scaling, seed, known, later):
    early, late = rows(seed, known), rows(seed + 1, later, first=known)
    alone = fit(scaling, [early], known)
    assert fit(scaling, [joined(early, late)], known) == alone
    assert fit(scaling, [early, late], known) == alone


@BOTH
@FEW
@given(st.integers(0, 2**32), st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any), st.randoms())
def test_pieces_and_their_order_make_no_difference(scaling, seed, sizes, chance):
    days, first = [], 0
    for number, size in enumerate(sizes):
        days.append(rows(seed + number, size, first))
        first += size
    whole = fit(scaling, [joined(*days)], EVERYTHING)
    close(fit(scaling, days, EVERYTHING), whole)
    chance.shuffle(days)
    close(fit(scaling, days, EVERYTHING), whole)
    mixed = joined(*days)
    order = np.random.default_rng(seed).permutation(first)
    shuffled = VectorRows(np.arange(first, dtype=np.int64), mixed.values[order], mixed.warm[order])
    close(fit(scaling, [shuffled], EVERYTHING), whole)


@FEW
@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(0, 30), st.integers(1, 30))
def test_moments_merge_as_a_sum_does(seed, first, second, third):
    one, two, three = (Moments.of(rows(seed + size, size), EVERYTHING) for size in (first, second, third))
    close(one.merge(two).merge(three).scaler(), one.merge(two.merge(three)).scaler())
    close(one.merge(three).scaler(), three.merge(one).scaler())


@BOTH
@FEW
@given(st.integers(0, 2**32), st.integers(4, 100), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_units_do_not_matter(scaling, seed, count, factor, shift):
    before = rows(seed, count)
    after = msgspec.structs.replace(before, values=before.values * factor + shift)
    one, other = (fit(scaling, [each], EVERYTHING) for each in (before, after))
    (counts, centers, scales), (_, moved, stretched) = columns(one), columns(other)
    size = 1e-9 * (np.abs(centers) * factor + abs(shift) + scales * factor)
    assert (np.abs(moved - centers * factor - shift) <= size)[counts > 0].all()
    assert (np.abs(stretched - scales * factor) <= size).all()


@BOTH
@FEW
@given(st.integers(0, 2**32), st.integers(8, 100))
def test_the_inverse_gives_back_what_was_scaled(scaling, seed, count):
    given_rows = rows(seed, count)
    scaler = fit(scaling, [given_rows], EVERYTHING)
    scaled = scaler.transform(given_rows.values, given_rows.warm)
    assert scaled.dtype == np.float32
    back = scaler.inverse(scaled)
    varies = np.array([one.scale > 0 for one in scaler.features])
    known = given_rows.warm & varies
    size = np.abs(scaled) * [one.scale for one in scaler.features] + np.abs([one.center for one in scaler.features])
    assert (np.abs(back - given_rows.values)[known] <= (1e-6 * size)[known] + 1e-12).all()
    # One vector is a row of many.
    assert (scaler.transform(given_rows.values[0], given_rows.warm[0]) == scaled[0]).all()


@BOTH
def test_what_is_not_warm_or_never_varied_becomes_nought_and_nothing_overflows(scaling):
    scaler = fit(scaling, [rows(1, 100)], EVERYTHING)
    values = np.full((2, FEATURE_COUNT), 1e300)
    warm = np.ones((2, FEATURE_COUNT), np.bool_)
    warm[1] = False
    scaled = scaler.transform(values, warm)
    assert np.isfinite(scaled).all()
    assert (scaled[1] == 0).all()
    assert (scaled[0, [3, 4]] == 0).all()
    assert (np.delete(scaled[0], [3, 4]) > 1e9).all()
    assert scaler.transform(values, warm, clip=5.0).max() == 5
    assert scaler.transform(-values, warm, clip=5.0).min() == -5


@BOTH
def test_scaled_training_rows_are_centred_and_of_one_size(scaling):
    given_rows = rows(7, 5_000)
    scaled = fit(scaling, [given_rows], EVERYTHING).transform(given_rows.values, given_rows.warm)
    for feature in (Feature.MID_PRICE, Feature.NVI):
        column = scaled[given_rows.warm[:, feature], feature]
        middle, size = (
            (column.mean(), column.std())
            if scaling is Scaling.STANDARD
            else (np.median(column), np.percentile(column, 75) - np.percentile(column, 25))
        )
        assert middle == pytest.approx(0, abs=1e-5)
        assert size == pytest.approx(1, abs=1e-5)


@BOTH
def test_nothing_cannot_be_fitted(scaling):
    for days in ([], [rows(1, 0)], [rows(1, 5, first=100)]):
        with pytest.raises(DataError, match="no row lies in the training time"):
            fit(scaling, days, 100)


def test_equal_scalers_have_equal_digests_and_others_do_not():
    scaler = fit(Scaling.STANDARD, [rows(1, 50)], EVERYTHING)
    assert scaler.digest == fit(Scaling.STANDARD, [rows(1, 50)], EVERYTHING).digest
    others = [fit(Scaling.ROBUST, [rows(1, 50)], EVERYTHING), fit(Scaling.STANDARD, [rows(1, 51)], EVERYTHING)]
    assert scaler.digest not in {other.digest for other in others}


def test_other_features_are_refused_by_name():
    demand(FEATURE_SET, fit(Scaling.STANDARD, [rows(1, 9)], EVERYTHING).schema_hash, "it")
    with pytest.raises(DataError, match=r"the model is of feature set 'stakan-90-1'.*make it anew"):
        demand("stakan-90-1", "x", "the model")
    with pytest.raises(DataError, match="names of schema 00ff"):
        demand(FEATURE_SET, "00ff", "the model")


@FEW
@given(st.integers(0, 2**32))
def test_a_vector_gives_itself_scaled_by_name_and_refuses_a_scaler_of_other_features(seed):
    training = rows(seed, 60)
    scaler = fit(Scaling.STANDARD, [training], EVERYTHING)
    vector = FeatureVector(
        training.values[7], training.warm[7], 7, has_open_candle=False, compute=lambda _feature: None
    )
    scaled = vector.to_array(scaler)
    for index, name in enumerate(vector.names):
        one = scaler.features[index]
        assert one.name == name
        is_told = vector.warm[index] and one.scale > 0
        expected = (vector.values[index] - one.center) / one.scale if is_told else 0.0
        assert scaled[index] == pytest.approx(expected, rel=1e-6)
    assert np.array_equal(np.concatenate(list(vector.to_channels(scaler).values())), scaled)
    other = msgspec.structs.replace(scaler, feature_set="another")
    with pytest.raises(DataError, match="the scaler is of feature set 'another'"):
        vector.to_array(other)
