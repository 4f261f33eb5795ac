"""A feature vector that outlives the next reading: what a feature store keeps, and what others are shown."""

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.ids import InstrumentId
from stakan.core.features.catalogue import CHANNELS, FEATURE_SET, SCHEMA_HASH, Channel
from stakan.core.features.vector import FeatureVector


class KeptVector(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All features of one instrument at one exchange time."""

    instrument: InstrumentId
    ts_event: int
    computed_ts: int
    """When it was computed, nanoseconds UTC by the clock of the machine that did."""
    values: npt.NDArray[np.float32]
    warm: npt.NDArray[np.bool_]
    """Shape (FEATURE_COUNT,) both."""
    version: str = FEATURE_SET
    schema_hash: str = SCHEMA_HASH

    @classmethod
    def of(cls, vector: FeatureVector, instrument: InstrumentId, computed_ts: int) -> "KeptVector":
        """A copy of a whole vector."""
        return cls(
            instrument=instrument,
            ts_event=vector.ts_event,
            computed_ts=computed_ts,
            values=vector.to_array(),
            warm=vector.warm.copy(),
        )

    def channels(self) -> dict[Channel, npt.NDArray[np.float32]]:
        """Its values by where they come from."""
        return {channel: self.values[stretch] for channel, stretch in CHANNELS.items()}
