"""A feature vector: finite numbers by name, and which of them rest on enough history."""

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.features.catalogue import FEATURE_NAMES, Feature


class FeatureVector(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Values and warmth of one instrument at one exchange time; a view that the next reading overwrites."""

    values: npt.NDArray[np.float64]
    """Shape (FEATURE_COUNT,), in the order of `Feature`."""
    warm: npt.NDArray[np.bool_]
    ts_event: int

    def of(self, feature: Feature) -> float:
        """One value."""
        return float(self.values[feature])

    def is_warm(self, *features: Feature) -> bool:
        """Whether all of them rest on enough history."""
        return all(self.warm[feature] for feature in features)

    def to_array(self) -> npt.NDArray[np.float32]:
        """A copy, shape (FEATURE_COUNT,)."""
        return self.values.astype(np.float32)

    def as_dict(self) -> dict[str, float]:
        """Name to value, in the order of the contract: for the why-record."""
        return dict(zip(FEATURE_NAMES, self.values.tolist(), strict=True))
