"""Scaling of feature vectors: fitted on training rows alone, and kept with the feature set that it was fitted for.

Means and standard deviations merge, so that days are fitted one at a time (Chan, Golub & LeVeque, 1979: updating
formulae and a pairwise algorithm for computing sample variances). Medians do not: they are taken of one feature at a
time over all days, which needs eight bytes a row.
"""

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cached_property, reduce
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.errors import DataError
from stakan.core.features.catalogue import FEATURE_COUNT, FEATURE_NAMES, FEATURE_SET, SCHEMA_HASH, Feature

Floats = npt.NDArray[np.float64]
Warmth = npt.NDArray[np.bool_]
_MOST = float(np.finfo(np.float32).max)


class Scaling(StrEnum):
    """What a feature is centred on and divided by."""

    STANDARD = "standard"
    """Mean and standard deviation, the population's."""
    ROBUST = "robust"
    """Median and distance of the quartiles."""


class Rows(Protocol):
    """Feature vectors in the order of exchange time: a day of a data set, or arrays in memory."""

    @property
    def ts_event(self) -> npt.NDArray[np.int64]:
        """Exchange times, shape (n,)."""
        ...

    def warm_values(self, feature: Feature, stop: int) -> Floats:
        """Of the first `stop` rows those in which the feature is warm."""
        ...


class VectorRows(msgspec.Struct, frozen=True, eq=False):
    """Rows that are arrays in memory."""

    ts_event: npt.NDArray[np.int64]
    values: npt.NDArray[np.floating]
    warm: Warmth
    """Shape (n, FEATURE_COUNT) both."""

    def warm_values(self, feature: Feature, stop: int) -> Floats:
        """As `Rows`."""
        return self.values[:stop, feature][self.warm[:stop, feature]].astype(np.float64)


class FeatureScale(msgspec.Struct, frozen=True):
    """How one feature is scaled."""

    name: str
    rows: int
    """Warm ones, that it was fitted on."""
    center: float
    scale: float
    """0 for a feature that never varied (robust: whose quartiles are equal): it says nothing, whatever it does later."""


class Scaler(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Makes features comparable: (value - center) / scale."""

    scaling: Scaling
    rows: int
    first_ts: int
    last_ts: int
    """Exchange times of the first and the last row that it was fitted on."""
    features: tuple[FeatureScale, ...]
    """In the order of `Feature`."""
    feature_set: str = FEATURE_SET
    schema_hash: str = SCHEMA_HASH

    @cached_property
    def digest(self) -> str:
        """Names the content: equal digests mean equal scalers."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()

    def transform(
        self, values: npt.NDArray[np.floating], warm: Warmth, *, clip: float | None = None
    ) -> npt.NDArray[np.float32]:
        """Scaled copies of vectors, shape (FEATURE_COUNT,) or (n, FEATURE_COUNT); what is not warm becomes 0.

        With `clip` nothing is farther than that from 0.
        """
        center, scale = self._parameters
        scaled = np.zeros(values.shape)
        np.divide(values - center, scale, out=scaled, where=warm & (scale > 0))
        most = _MOST if clip is None else clip
        return np.clip(scaled, -most, most).astype(np.float32)

    def inverse(self, scaled: npt.NDArray[np.floating]) -> Floats:
        """The values that scaled ones were; of features that never varied, and where not warm, the centre."""
        center, scale = self._parameters
        return scaled * scale + center

    @cached_property
    def _parameters(self) -> tuple[Floats, Floats]:
        """Centres and scales."""
        return np.array([one.center for one in self.features]), np.array([one.scale for one in self.features])


def demand(feature_set: str, schema_hash: str, what: str) -> None:
    """Raises DataError where something was made for other features than this release computes."""
    if feature_set != FEATURE_SET:
        raise DataError(f"{what} is of feature set {feature_set!r}, this release has {FEATURE_SET!r}: make it anew")
    if schema_hash != SCHEMA_HASH:
        raise DataError(f"{what} has feature names of schema {schema_hash}, this release {SCHEMA_HASH}: make it anew")


class Moments(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a standard scaler is made of; those of two sets of rows merge into those of both."""

    rows: int
    first_ts: int
    last_ts: int
    counts: Floats
    means: Floats
    squares: Floats
    """Sums of squared deviations from the mean."""
    low: Floats
    high: Floats
    """Shape (FEATURE_COUNT,) all five, of warm values."""

    @classmethod
    def of(cls, rows: Rows, stop_ts: int) -> "Moments":
        """Of the rows before an exchange time."""
        stop, first_ts, last_ts = _extent(rows, stop_ts)
        columns = np.array([_moments(rows.warm_values(feature, stop)) for feature in Feature]).T
        counts, means, squares, low, high = columns
        return cls(
            rows=stop,
            first_ts=first_ts,
            last_ts=last_ts,
            counts=counts,
            means=means,
            squares=squares,
            low=low,
            high=high,
        )

    def merge(self, other: "Moments") -> "Moments":
        """Of the rows of both."""
        counts = self.counts + other.counts
        distance = other.means - self.means
        share = np.divide(other.counts, counts, out=np.zeros(FEATURE_COUNT), where=counts > 0)
        return Moments(
            rows=self.rows + other.rows,
            first_ts=_earlier(self, other),
            last_ts=max(self.last_ts, other.last_ts),
            counts=counts,
            means=self.means + distance * share,
            squares=self.squares + other.squares + distance**2 * self.counts * share,
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
        )

    def scaler(self) -> Scaler:
        """The standard scaler of these rows; raises DataError where there are none."""
        varies = self.high > self.low
        variance = np.divide(self.squares, self.counts, out=np.zeros(FEATURE_COUNT), where=varies)
        return _scaler(
            Scaling.STANDARD, self.rows, (self.first_ts, self.last_ts), self.counts, self.means, np.sqrt(variance)
        )


def fit(scaling: Scaling, days: Sequence[Rows], stop_ts: int) -> Scaler:
    """A scaler of the training rows: of those before an exchange time; what comes later never changes it.

    Raises DataError where there are none.
    """
    if scaling is Scaling.ROBUST:
        return _robust(days, stop_ts)
    fitted = [Moments.of(rows, stop_ts) for rows in days]
    if not fitted:
        raise _nothing()
    return reduce(Moments.merge, fitted).scaler()


def _robust(days: Sequence[Rows], stop_ts: int) -> Scaler:
    extents = [_extent(rows, stop_ts) for rows in days]
    known = [extent for extent in extents if extent[0]]
    if not known:
        raise _nothing()
    counts, centers, scales = np.zeros(FEATURE_COUNT), np.zeros(FEATURE_COUNT), np.zeros(FEATURE_COUNT)
    for feature in Feature:
        values = np.concatenate(
            [rows.warm_values(feature, stop) for rows, (stop, _, _) in zip(days, extents, strict=True)]
        )
        if len(values):
            lower, centers[feature], upper = np.quantile(values, (0.25, 0.5, 0.75))
            counts[feature], scales[feature] = len(values), upper - lower
    span = min(first for _, first, _ in known), max(last for _, _, last in known)
    return _scaler(Scaling.ROBUST, sum(stop for stop, _, _ in known), span, counts, centers, scales)


def _extent(rows: Rows, stop_ts: int) -> tuple[int, int, int]:
    """How many rows are before a time, and the times of the first and the last of them."""
    times = rows.ts_event
    stop = int(np.searchsorted(times, stop_ts))
    return (stop, int(times[0]), int(times[stop - 1])) if stop else (0, 0, 0)


def _moments(values: Floats) -> tuple[float, float, float, float, float]:
    """Count, mean, sum of squared deviations, lowest, highest."""
    if not len(values):
        return 0.0, 0.0, 0.0, np.inf, -np.inf
    mean = float(values.mean())
    return float(len(values)), mean, float(np.sum((values - mean) ** 2)), float(values.min()), float(values.max())


def _earlier(one: Moments, other: Moments) -> int:
    return min((moments.first_ts for moments in (one, other) if moments.rows), default=0)


def _scaler(
    scaling: Scaling, rows: int, span: tuple[int, int], counts: Floats, centers: Floats, scales: Floats
) -> Scaler:
    if not rows:
        raise _nothing()
    columns: Iterable[tuple[str, float, float, float]] = zip(
        FEATURE_NAMES, counts.tolist(), centers.tolist(), scales.tolist(), strict=True
    )
    features = tuple(FeatureScale(name, int(count), center, scale) for name, count, center, scale in columns)
    return Scaler(scaling=scaling, rows=rows, first_ts=span[0], last_ts=span[1], features=features)


def _nothing() -> DataError:
    return DataError("a scaler cannot be fitted on nothing: no row lies in the training time")
