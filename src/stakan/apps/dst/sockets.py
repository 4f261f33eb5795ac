"""A socket that stays connected, in virtual time: the back-off, pings and watchdog of the real one over a simulated wire."""

import numpy as np

from stakan.adapters.sockets import Backoff, ConnectBudget, SocketHandler, SocketLimits
from stakan.apps.dst.network import Network, Wire
from stakan.apps.dst.time import ProcessTime
from stakan.core.domain.units import SECOND


class SimulatedSocket:
    """One connection to one path, again and again; what it does is what `adapters.sockets.Socket` does."""

    def __init__(
        self,
        path: str,
        handler: SocketHandler,
        network: Network,
        time: ProcessTime,
        chance: np.random.Generator,
        *,
        budget: ConnectBudget | None = None,
        limits: SocketLimits | None = None,
    ) -> None:
        self.path = path
        self.opened = 0
        """How often it has connected."""
        self.failed = 0
        self.problem = ""
        self._handler = handler
        self._network = network
        self._time = time
        self._limits = limits or SocketLimits()
        self._backoff = Backoff(self._limits, chance, budget)
        self._wire: Wire | None = None
        self._is_open = False
        self._last_frame = 0

    @property
    def is_open(self) -> bool:
        """Whether `send` can work."""
        return self._is_open

    def start(self) -> None:
        """Connect, and connect again, for ever."""
        self._time.timers(self._backoff.wait(self._time.now()), self._connect)

    def send(self, message: bytes) -> bool:
        """Write a text message; False where nothing was written."""
        if self._wire is None or not self._is_open:
            return False
        self._wire.send(message)
        return True

    def reconnect(self, why: str) -> None:
        """Give this connection up and make another one; `on_close` is called before this returns."""
        if self._is_open and self._wire is not None:
            self._wire.close()
            self._end(why)

    # --- told by the wire -------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """See `Peer`."""
        self._is_open = True
        self.opened += 1
        now = self._last_frame = self._time.now()
        self._backoff.opened(now)
        self._handler.on_open()
        self._ping(self._wire)
        self._watch(self._wire)

    def heard(self, frame: bytes) -> None:
        """See `Peer`."""
        now = self._last_frame = self._time.now()
        self._handler.on_frame(frame, now)

    def lost(self, why: str) -> None:
        """See `Peer`."""
        if self._is_open:
            self._end(why)
        else:
            self.failed += 1
            self.problem = why
            self._backoff.failed()
            self.start()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        more = self._backoff.held_back(self._time.now())
        if more:
            self._time.timers(more, self._connect)
            return
        self._backoff.begun(self._time.now())
        # The real one gives up a little later than twice its patience: one for the connection, one for the upgrade.
        patience = 2 * self._limits.connect_within_ns + SECOND
        self._wire = Wire(self._network, self.path, self, self._time, patience)

    def _end(self, why: str) -> None:
        self._is_open = False
        self._wire = None
        self.problem = why
        self._handler.on_close(why)
        self._backoff.closed(self._time.now())
        self.start()

    def _ping(self, wire: Wire | None) -> None:
        if self._is_open and self._wire is wire:
            self.send(self._limits.ping)
            self._time.timers(self._limits.ping_every_ns, lambda: self._ping(wire))

    def _watch(self, wire: Wire | None) -> None:
        if not (self._is_open and self._wire is wire):
            return
        silent = self._time.now() - self._last_frame
        if silent >= self._limits.idle_after_ns:
            self.reconnect(f"silent for {silent / SECOND:.1f} s")
        else:
            self._time.timers(self._limits.idle_after_ns - silent, lambda: self._watch(wire))
