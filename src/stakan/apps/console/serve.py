"""The console process: API and pages of one bot's state folder, until it is told to stop."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from stakan.apps.api.access import Context
from stakan.apps.api.asking import Asking
from stakan.apps.api.link import Link
from stakan.apps.api.model import ReadModel
from stakan.apps.api.sessions import Sessions
from stakan.apps.api.throttle import Throttle
from stakan.apps.api.users import Users
from stakan.apps.durations import duration_ns
from stakan.apps.sections import ConsoleSection
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import SECOND

_MESSAGE_BYTES = 1 << 16
"""What a client may send at once over a socket; NiceGUI's events are shorter."""
_GOODBYE_S = 2
"""Open sockets get this long when the process is told to stop."""


def build_context(section: ConsoleSection, state: Path, users: Users) -> Context:
    """What the console of one state folder is made of."""
    link = Link(state, ReadModel(), time.time_ns)
    return Context(
        link=link,
        users=users,
        sessions=Sessions(state, duration_ns(section.session) // SECOND, time.time),
        throttle=Throttle(time.monotonic),
        asking=Asking(link, time.time_ns),
        origins=section.origins,
        clock=time.time_ns,
    )


def serve(app: FastAPI, section: ConsoleSection, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; tells `on_ready` the address once it listens (port 0 takes a free one).

    Raises ConfigError where it cannot listen there.
    """
    config = uvicorn.Config(
        app,
        host=section.host,
        port=section.port,
        # Its loggers go where all of this process go.
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=_MESSAGE_BYTES,
        # Frames are small and mostly noise: deflating them costs more than it saves.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_GOODBYE_S,
    )
    try:
        listening = config.bind_socket()
    except SystemExit:
        raise ConfigError(f"console.host, console.port: cannot listen on {section.host}:{section.port}") from None
    host = f"[{section.host}]" if ":" in section.host else section.host
    with listening:
        server = _Server(config, lambda: on_ready(f"http://{host}:{listening.getsockname()[1]}"))
        server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """One that says when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Listen, then tell."""
        await super().startup(sockets)  # type: ignore[arg-type]
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """End in order; being told so is no failure, so the signal is not raised again afterwards."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
