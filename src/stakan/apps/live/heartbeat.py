"""The sign of life of a running bot: a small file that its event loop writes every second, for whoever watches it."""

import asyncio
import logging
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from stakan.apps.live.stuck import StuckWatch
from stakan.core.domain.errors import DataError
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import Side

HEARTBEAT_FILE = "heartbeat.json"
_TURN_S = 0.25
_WRITE_S = 1.0
_log = logging.getLogger(__name__)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A position that is open."""

    instrument: str
    side: Side
    size: Decimal
    """Base units."""
    has_stop: bool


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot says of itself; times are nanoseconds UTC."""

    ts: int
    pid: int
    mode: str
    """paper, shadow, testnet, live."""
    environment: str
    """Whose market, and at testnet and live whose orders: local, testnet, demo, mainnet."""
    account: str
    run: str
    """Name of the run's folder."""
    trading: TradingState
    halted_for: str = ""
    positions: tuple[Held, ...] = ()
    entries: int = 0
    """Entry orders that may still be filled."""
    reconciled_ts: int = 0
    """When the whole account last agreed with the books; 0 before, and where there is none."""
    stuck: int = 0
    """How often the loop did not turn for long."""
    has_ended: bool = False
    """Whether it ended in order: positions that are open stay so by its operator's will."""


def write_beat(folder: Path, beat: Beat) -> None:
    """In one step, so that a reader never finds half of it; not synced, since it speaks of this second. OSError."""
    partial = folder / f".{HEARTBEAT_FILE}.partial"
    partial.write_bytes(msgspec.json.encode(beat))
    partial.replace(folder / HEARTBEAT_FILE)


def read_beat(folder: Path) -> Beat | None:
    """The newest beat; None where there never was one. Raises DataError where it cannot be read."""
    path = folder / HEARTBEAT_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Beat)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no heartbeat: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


class Heart:
    """Beats from the running event loop; use it as a context there. Never ends a bot: what it cannot write it logs."""

    def __init__(self, folder: Path, describe: Callable[[], Beat], watch: StuckWatch) -> None:
        self.failed_writes = 0
        self.watch = watch
        self._folder = folder
        self._describe = describe
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.Handle | None = None

    def __enter__(self) -> Self:
        """Begin; raises StorageError where the watch cannot write."""
        self.watch.__enter__()
        self._timer = self._loop.call_soon(self._turn)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.watch.__exit__(kind, error, trace)

    def rest(self) -> None:
        """The bot has ended in order: say so with the last beat, whatever its connections still take to close."""
        self._due = math.inf
        self._write(msgspec.structs.replace(self._describe(), has_ended=True))

    def _turn(self) -> None:
        # Before anything that could fail: a bug in what is written must not look like a stuck loop.
        self._timer = self._loop.call_later(_TURN_S, self._turn)
        self.watch.beat()
        if self._loop.time() >= self._due:
            self._due = self._loop.time() + _WRITE_S
            self._write(msgspec.structs.replace(self._describe(), stuck=self.watch.episodes))

    def _write(self, beat: Beat) -> None:
        try:
            write_beat(self._folder, beat)
        except OSError as error:
            if not self.failed_writes:
                _log.error("%s cannot be written: %s", self._folder / HEARTBEAT_FILE, error.strerror)
            self.failed_writes += 1
