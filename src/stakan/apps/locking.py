"""Locks between processes: who holds an open file or folder is alone with what it stands for."""

import fcntl
from pathlib import Path

from stakan.core.domain.errors import StakanError, StorageError


def lock(handle: int, path: Path, held: StakanError) -> None:
    """Lock `path`, open as `handle`, until that is closed or its process is gone; never waits.

    Raises `held` where another process has it, StorageError where the system cannot lock it.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise held from None
    except OSError as error:
        raise StorageError(f"{path} cannot be locked: {error.strerror}") from error
