"""Scaler files: readable JSON with a digest of its content, refused where they do not fit this release."""

from pathlib import Path

import msgspec

from stakan.adapters.whole_files import written_whole
from stakan.core.domain.errors import DataError
from stakan.core.features.scaling import Scaler, demand


class _File(msgspec.Struct, frozen=True):
    digest: str
    scaler: Scaler


class _Features(msgspec.Struct, frozen=True):
    """What must be known before the rest can be trusted."""

    feature_set: str
    schema_hash: str


class _Probe(msgspec.Struct, frozen=True):
    scaler: _Features


def save(scaler: Scaler, path: Path) -> None:
    """Write a scaler, whole or not at all; raises StorageError."""
    text = msgspec.json.format(msgspec.json.encode(_File(scaler.digest, scaler)), indent=1)
    with written_whole(path) as place:
        place.write_bytes(text + b"\n")


def load(path: Path) -> Scaler:
    """The scaler of a file; raises DataError where it is of other features, damaged, or not there."""
    try:
        text = path.read_bytes()
        features = msgspec.json.decode(text, type=_Probe).scaler
        demand(features.feature_set, features.schema_hash, f"{path}: the scaler")
        found = msgspec.json.decode(text, type=_File)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: is no scaler file: {error}; fit the scaler anew") from error
    if found.scaler.digest != found.digest:
        raise DataError(f"{path}: its content is not that of its digest {found.digest}: fit the scaler anew")
    return found.scaler
