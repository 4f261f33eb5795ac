"""Whether this machine and this account are fit for trading: all that can be known before the first order."""

import os
import shutil
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from stakan.adapters.exchanges.bybit.client import ask_once
from stakan.adapters.exchanges.bybit.endpoints import Environment, environment
from stakan.adapters.exchanges.bybit.preflight import Check, Verdict, Wanted, preflight, reachable
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.apps.secrets import ENV_FILE, bybit_keys
from stakan.apps.settings import Settings
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import MILLISECOND

_LITTLE_SPACE = 5 * 10**9
_NO_SPACE = 10**9
_SYNCS = 15
_SLOW_SYNC = 20 * MILLISECOND


def venue_of(settings: Settings) -> Environment:
    """The environment that the configuration names; raises ConfigError."""
    venue = settings.venue
    return environment(venue.environment, local_url=venue.local_url, host_suffix=venue.host_suffix)


async def examine(settings: Settings, env_file: Path = ENV_FILE) -> list[Check]:
    """All checks, those of the account where there are keys; nothing is changed, at the exchange or here."""
    checks = [*folder_checks(settings.trade.state), *_env_file_checks(env_file)]
    try:
        keys = bybit_keys(env_file)
        venue = venue_of(settings)
    except ConfigError as error:
        return [*checks, Check("configuration", Verdict.FAIL, str(error), "correct it")]
    checks.append(Check("environment", Verdict.OK, f"{venue.name} at {venue.rest}"))
    reached = await ask_once(venue, None, lambda _, clock: reachable(clock, time.time_ns), time.time_ns)
    checks += reached
    if any(check.verdict is Verdict.FAIL for check in reached):
        return checks
    return [*checks, *await account_checks(settings, venue, keys)]


async def account_checks(settings: Settings, venue: Environment, keys: Keys | None) -> list[Check]:
    """Pre-flight of the account; without keys that is said and nothing else."""
    if keys is None:
        finding = "none: paper, shadow and recording work, trading does not"
        return [Check("API key", Verdict.WARN, finding, "set BYBIT_API_KEY and BYBIT_API_SECRET")]
    wanted = Wanted(
        symbols=tuple(name.rsplit(":", 1)[-1] for name in settings.instruments), leverage=settings.account.leverage
    )
    return await ask_once(venue, keys, lambda _line, _clock: preflight(wanted, lambda: datetime.now(UTC)), time.time_ns)


def folder_checks(folder: Path, clock: Callable[[], int] = time.perf_counter_ns) -> list[Check]:
    """Whether state can be kept there: writing, room, and how long a durable write takes."""
    place = _existing(folder)
    try:
        took = _sync_times(place, clock)
    except OSError as error:
        return [
            Check("state folder", Verdict.FAIL, f"{folder}: {error.strerror}", "make it writable, or set trade.state")
        ]
    free = shutil.disk_usage(place).free
    room = Verdict.FAIL if free < _NO_SPACE else Verdict.WARN if free < _LITTLE_SPACE else Verdict.OK
    typical = median(took)
    slow = typical > _SLOW_SYNC
    return [
        Check("state folder", Verdict.OK, f"{folder} is writable"),
        Check("disk space", room, f"{free / 10**9:.1f} GB free", "" if room is Verdict.OK else "make room"),
        Check(
            "durable write",
            Verdict.WARN if slow else Verdict.OK,
            f"{typical / MILLISECOND:.2f} ms (median), {max(took) / MILLISECOND:.2f} ms (worst) of {_SYNCS}",
            "every order waits for one: put trade.state on a faster disk" if slow else "",
        ),
    ]


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: it is made there."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return place


def _sync_times(folder: Path, clock: Callable[[], int]) -> list[int]:
    path = folder / f".stakan-doctor-{os.getpid()}"
    try:
        with path.open("wb") as file:
            took = []
            for _ in range(_SYNCS):
                began = clock()
                file.write(b"\0" * 512)
                file.flush()
                os.fdatasync(file.fileno())
                took.append(clock() - began)
    finally:
        path.unlink(missing_ok=True)
    return took


def _env_file_checks(env_file: Path) -> list[Check]:
    """Keys on disk should be nobody else's to read."""
    if not env_file.is_file():
        return []
    if env_file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return [Check("secrets", Verdict.WARN, f"{env_file} can be read by others", f"chmod 600 {env_file}")]
    return [Check("secrets", Verdict.OK, f"{env_file} is private")]
