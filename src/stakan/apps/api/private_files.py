"""Files that only their owner may read: written whole or not at all."""

import contextlib
import os
import secrets
from pathlib import Path

from stakan.core.domain.errors import StorageError

_OWNER_ONLY = 0o600


def write_private(path: Path, data: bytes) -> None:
    """Replace a file by `data`, readable by its owner alone; readers see the old or the new one, never half.

    Raises StorageError where it cannot be written; the old file is still there then.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def read_private(path: Path) -> bytes | None:
    """What a file holds, None where there is none; raises StorageError where it cannot be read or others may read it.

    A secret that others could have read is one no more: it is refused rather than mended in silence.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise StorageError(f"{path} can be read by others than its owner: chmod 600 it, or delete it")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
