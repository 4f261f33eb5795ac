"""Files that are there as a whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stakan.adapters.parquet.layout import TEMPORARY, sync_folder
from stakan.core.domain.errors import StorageError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives the place to write to; when the block ends, what is there is on the disk under the file's own name.

    Where the block fails nothing of it remains, and an older file stays. Raises StorageError where writing does.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
