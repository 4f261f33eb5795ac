"""A feature vector: finite numbers by name, and which of them are young."""

import numpy as np
import numpy.typing as npt

from stakan.core.features.catalogue import FEATURE_COUNT, Feature


class FeatureVector:
    """Values and warmth of one instrument at one exchange time; overwritten by the next reading."""

    __slots__ = ("ts_event", "values", "warm")

    def __init__(self) -> None:
        self.values: npt.NDArray[np.float64] = np.zeros(FEATURE_COUNT)
        self.warm: npt.NDArray[np.bool_] = np.zeros(FEATURE_COUNT, np.bool_)
        self.ts_event = 0

    def __getitem__(self, feature: Feature) -> float:
        return float(self.values[feature])

    def is_warm(self, *features: Feature) -> bool:
        """Whether all of them rest on enough history."""
        return all(self.warm[feature] for feature in features)

    def to_array(self) -> npt.NDArray[np.float32]:
        """A copy, shape (FEATURE_COUNT,)."""
        return self.values.astype(np.float32)

    def as_dict(self) -> dict[str, float]:
        """Name to value, in the order of the contract: for the why-record."""
        return {feature.name.lower(): float(self.values[feature]) for feature in Feature}
