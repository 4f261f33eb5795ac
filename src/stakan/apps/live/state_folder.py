"""A bot's state folder: owned by one bot at a time, with the epoch that client order ids derive from, and its runs."""

import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from stakan.apps.locking import lock
from stakan.core.domain.errors import ConfigError, StorageError

LOCK_FILE = "lock"
EPOCH_FILE = "epoch"
RUNS = "runs"
_EPOCH_BYTES = 6
_STAMP = "%Y%m%d-%H%M%S"


def _second_after(stamp: str) -> str:
    """Empty where a folder is not named by a moment."""
    try:
        return f"{datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC) + timedelta(seconds=1):{_STAMP}}"
    except ValueError:
        return ""


class StateFolder:
    """Use it as a context: it is locked from entering to leaving, also when the process is killed.

    The epoch is made with the folder and kept in it (decision 2). Each run adds its own name to it, as runs do not
    continue one another yet: no two of them can make the same client order id.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epoch = ""
        self._lock = -1

    def __enter__(self) -> Self:
        """Make it where it is new; raises ConfigError where another bot has it, StorageError where it cannot be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"{self.folder} cannot hold the state of a bot: {error.strerror}") from error
        try:
            held = ConfigError(f"another bot runs on {self.folder}: stop it, or set trade.state")
            lock(self._lock, self.folder / LOCK_FILE, held)
            self.epoch = self._read_epoch()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def runs(self) -> list[Path]:
        """Folders of its runs, oldest first."""
        folder = self.folder / RUNS
        return sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []

    def new_run(self, mode: str) -> Path:
        """The folder of a new run; not made yet. Its name sorts behind all others, whatever the clock says."""
        stamp = f"{datetime.now(UTC):{_STAMP}}"
        last = max((one.name[: len(stamp)] for one in self.runs()), default="")
        if last >= stamp:
            stamp = _second_after(last) or stamp
        name = f"{stamp}-{mode}"
        folder = self.folder / RUNS / name
        number = 1
        while folder.exists():
            number += 1
            folder = self.folder / RUNS / f"{name}-{number}"
        return folder

    def epoch_of(self, run: Path) -> str:
        """What the client order ids of a run derive from."""
        return f"{self.epoch}-{run.name}"

    def _read_epoch(self) -> str:
        file = self.folder / EPOCH_FILE
        try:
            if file.exists():
                found = file.read_text(encoding="ascii").strip()
                if not found:
                    raise StorageError(f"{file} is empty: restore it, or take a new state folder")
                return found
            made = secrets.token_hex(_EPOCH_BYTES)
            with file.open("x", encoding="ascii") as stream:
                stream.write(made)
                stream.flush()
                os.fsync(stream.fileno())
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"{file} cannot be read or written: {error}") from error
        return made

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
