"""The projector of a running bot: a process of its own that is started, watched, started again and ended with it."""

import os
import time
from pathlib import Path

from stakan.apps.config import to_toml
from stakan.apps.processes import Child
from stakan.apps.projector_status import Health, ProjectorStatus, read_status
from stakan.apps.settings import Settings
from stakan.core.domain.errors import StakanError
from stakan.core.domain.units import SECOND

MOST_BEHIND_S = 60.0
"""Rows may lag so far behind the journal before nothing opens."""
_AGAIN_S = 10.0
"""Pause before a projector that ended is started again."""
_STOP_S = 20.0
_POLL_S = 0.1
CONFIG_FILE = "config.toml"


class ProjectorProcess:
    """Projects the journals of a state folder while a bot runs; a bot trades without it, and opens nothing then."""

    def __init__(self, settings: Settings, run_folder: Path) -> None:
        """Start it; its configuration, without secrets, is written into the run's folder."""
        self._state = settings.trade.state
        self._settings = settings
        config = self._config = run_folder / CONFIG_FILE
        self._words = ("project", "--config", str(config), "--state", str(self._state), "--parent", str(os.getpid()))
        self._began_ns = time.time_ns()
        self._again_at = 0.0
        self._problem = ""
        self._child = self._start()

    def trouble(self) -> str | None:
        """Why the database cannot be relied on now; None where it can. Starts a projector that has ended again."""
        child = self._child
        if child is None or child.code is not None:
            if time.monotonic() >= self._again_at:
                self._child = self._start()
            if child is None:
                return f"the projector cannot be started: {self._problem}"
            return f"the projector ended with {child.code}, see {child.log}"
        try:
            status = read_status(self._state)
        except StakanError as error:
            return str(error)
        return self._trouble_of(status)

    def stop(self) -> int:
        """Let it write the rest and end; its exit code. One that is still coming up is waited for."""
        if self._child is None:
            return 1
        deadline = time.monotonic() + _STOP_S
        while self._child.code is None and not self._is_up() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return self._child.stop(_STOP_S)

    def _is_up(self) -> bool:
        try:
            status = read_status(self._state)
        except StakanError:
            return False
        return status is not None and status.started_ts >= self._began_ns

    def _start(self) -> Child | None:
        """None where this machine does not let it: no room, no file descriptor, no process."""
        self._again_at = time.monotonic() + _AGAIN_S
        try:
            self._config.write_text(to_toml(self._settings), encoding="utf-8")
            return Child("projector", self._words, self._state)
        except OSError as error:
            self._problem = str(error)
            return None

    def _trouble_of(self, status: ProjectorStatus | None) -> str | None:
        """What it says of itself, or how long it has said nothing."""
        told_ns = self._began_ns if status is None else max(self._began_ns, status.updated_ts)
        silent_s = (time.time_ns() - told_ns) / SECOND
        if silent_s > MOST_BEHIND_S:
            return f"the projector has said nothing for {silent_s:.0f} s"
        if status is None or status.updated_ts < self._began_ns:
            # An audit log does not mend itself while nobody looks.
            return (status.audit_break or None) if status is not None else None
        if status.health in (Health.DATABASE_AWAY, Health.FAILED):
            return status.last_error
        if status.audit_break:
            return status.audit_break
        if status.lag_seconds > MOST_BEHIND_S:
            return f"rows are {status.lag_seconds:.0f} s behind the journal"
        return None
