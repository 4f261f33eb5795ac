"""A feature vector: finite numbers by name, and which of them rest on enough history."""

from collections.abc import Callable
from typing import ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.features.catalogue import CHANNELS, FEATURE_NAMES, FEATURE_SET, SCHEMA_HASH, Channel, Feature
from stakan.core.features.scaling import Scaler, demand


class FeatureVector(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Values and warmth of one instrument at one exchange time; a view that the next reading overwrites.

    Groups of features are computed when one of them is asked for, so that nobody waits for what nobody reads.
    """

    names: ClassVar[tuple[str, ...]] = FEATURE_NAMES
    version: ClassVar[str] = FEATURE_SET
    schema_hash: ClassVar[str] = SCHEMA_HASH

    kept_values: npt.NDArray[np.float64]
    kept_warmth: npt.NDArray[np.bool_]
    """Shape (FEATURE_COUNT,) both, in the order of `Feature`; right for the groups that were computed."""
    ts_event: int
    has_open_candle: bool
    """Whether the last candle of candle features and indicators is one that is still open."""
    compute: Callable[[Feature | None], None]
    """Makes sure that a feature, or (None) every feature, is computed."""

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """All values, shape (FEATURE_COUNT,), in the order of `Feature`."""
        self.compute(None)
        return self.kept_values

    @property
    def warm(self) -> npt.NDArray[np.bool_]:
        """Which of them rest on enough history; the others have their neutral value or, of a thin book, what it gives."""
        self.compute(None)
        return self.kept_warmth

    def of(self, feature: Feature) -> float:
        """One value."""
        self.compute(feature)
        return float(self.kept_values[feature])

    def is_warm(self, *features: Feature) -> bool:
        """Whether all of them rest on enough history."""
        for feature in features:
            self.compute(feature)
            if not self.kept_warmth[feature]:
                return False
        return True

    def to_array(self, scaler: Scaler | None = None) -> npt.NDArray[np.float32]:
        """A copy, shape (FEATURE_COUNT,); scaled where a scaler is given, what is not warm is 0 then.

        Raises DataError where the scaler was fitted for other features.
        """
        if scaler is None:
            return self.values.astype(np.float32)
        demand(scaler.feature_set, scaler.schema_hash, "the scaler")
        return scaler.transform(self.values, self.warm)

    def to_channels(self, scaler: Scaler | None = None) -> dict[Channel, npt.NDArray[np.float32]]:
        """Copies of the order book's 50, the candle's 25 and the indicators' 35 features; see `to_array`."""
        array = self.to_array(scaler)
        return {channel: array[stretch].copy() for channel, stretch in CHANNELS.items()}

    def as_dict(self) -> dict[str, float]:
        """Name to value, in the order of the contract: for the why-record."""
        return dict(zip(FEATURE_NAMES, self.values.tolist(), strict=True))
