"""Scalers of built files of feature vectors: which files go together, where the training time ends, what came of it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.adapters.parquet.features import FeatureFile
from stakan.apps.feature_files import differing
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.features.catalogue import Feature
from stakan.core.features.scaling import FeatureScale, Rows, Scaler, Scaling, fit

Read = Callable[[int], None]
"""Told how many columns were read since the last call."""


def training_files(paths: Sequence[Path]) -> list[FeatureFile]:
    """Files of one training set in the order of exchange time, so that their order on the command line says nothing.

    Raises DataError for one that is none or of other features; ConfigError where two are of the same day of an
    instrument, or were built with other options.
    """
    files = [FeatureFile(path) for path in paths]
    known: dict[tuple[str, str], FeatureFile] = {}
    for file in files:
        contents, first = file.contents, files[0]
        if contents.options != first.contents.options:
            raise ConfigError(
                f"{file.path} was built with other options than {first.path} "
                f"({differing(contents, first.contents)}): fit a scaler for each, or build one of them anew"
            )
        same = known.setdefault((contents.instrument, contents.day), file)
        if same is not file:
            raise ConfigError(
                f"{same.path} and {file.path} are both of {contents.instrument} on {contents.day}: name one of them"
            )
    return sorted(files, key=_first)


def rows_of(files: Sequence[FeatureFile]) -> int:
    """Vectors in all files."""
    return sum(len(file.ts_event) for file in files)


def end_of_share(files: Sequence[FeatureFile], share: float) -> int:
    """The exchange time before which that share of all vectors lies, 0 < share <= 1; those of one time stay together.

    Raises DataError where files hold no vector at all.
    """
    times = np.sort(np.concatenate([file.ts_event for file in files]))
    if not len(times):
        raise DataError(
            f"{files[0].path}: holds no vector, nor does any other file that was named; build a longer time"
        )
    count = round(share * len(times))
    return int(times[count]) if count < len(times) else int(times[-1]) + 1


def fitted(scaling: Scaling, files: Sequence[FeatureFile], stop_ts: int, read: Read) -> Scaler:
    """As `scaling.fit`, telling of the columns that are read: `len(files) * FEATURE_COUNT` in all."""
    return fit(scaling, [_Telling(file, read) for file in files], stop_ts)


def remark(scaling: Scaling, one: FeatureScale) -> str:
    """Why a scaled feature is 0 whatever happens; empty where it is not."""
    if not one.rows:
        return "never warm"
    if one.scale:
        return ""
    return "quartiles are equal" if scaling is Scaling.ROBUST else "constant"


class _Telling(msgspec.Struct, frozen=True, eq=False):
    """Rows that tell when a column was read."""

    rows: Rows
    read: Read

    @property
    def ts_event(self) -> npt.NDArray[np.int64]:
        return self.rows.ts_event

    def warm_values(self, feature: Feature, stop: int) -> npt.NDArray[np.float64]:
        values = self.rows.warm_values(feature, stop)
        self.read(1)
        return values


def _first(file: FeatureFile) -> tuple[int, str]:
    times = file.ts_event
    return int(times[0]) if len(times) else 0, file.contents.instrument
