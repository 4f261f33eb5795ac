"""Whether an order may leave: what only reduces always may, what opens only where nothing speaks against it."""

from collections.abc import Callable

from stakan.adapters.exchanges.bybit.context import HaltLatch, StreamState
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.orders import NewOrder
from stakan.core.domain.units import MINUTE, SECOND

LEFT_ALONE = 10 * MINUTE
"""How long nothing opens in a symbol of which the exchange says that nothing can."""
_BLIND_FOR = 3 * SECOND
"""Without the private stream until nothing new is opened. A reconnect takes one or two; beyond it a fill is seen by a
poll alone, too late for the time in which a position must have its stop."""


class EntryGate:
    """What speaks against an entry: of the whole account, and of single instruments."""

    def __init__(self, latch: HaltLatch, stream: StreamState, clock: Callable[[], int]) -> None:
        self._latch = latch
        self._stream = stream
        self._clock = clock
        self._prepared: set[InstrumentId] = set()
        self._blocked: dict[InstrumentId, str] = {}
        self._left_alone: dict[InstrumentId, tuple[int, str]] = {}
        """Until when nothing opens, and why."""

    def refusal(self, order: NewOrder) -> str | None:
        """Why an order must not leave now."""
        if order.reduce_only:
            return None
        if self._latch.stopped_for is not None:
            return f"trading stopped: {self._latch.stopped_for}"
        if order.instrument in self._blocked:
            return self._blocked[order.instrument]
        until, why = self._left_alone.get(order.instrument, (0, ""))
        if self._clock() < until:
            return f"nothing opens there: {why}"
        if order.instrument not in self._prepared:
            return "isolated margin, one-way mode and leverage are not asserted: prepare the instrument first"
        since = self._stream.blind_since
        blind_for = 0 if since is None else self._clock() - since
        if blind_for > _BLIND_FOR:
            return f"private stream is down for {blind_for // SECOND} s"
        return None

    def prepared(self, instrument: InstrumentId) -> None:
        """Isolated margin, one-way mode and leverage were asserted."""
        self._prepared.add(instrument)

    def is_prepared(self, instrument: InstrumentId) -> bool:
        """Whether they were."""
        return instrument in self._prepared

    def block(self, instrument: InstrumentId, why: str) -> None:
        """Nothing opens there until a release."""
        self._blocked[instrument] = why

    def leave_alone(self, instrument: InstrumentId, why: str) -> None:
        """Nothing opens there for a while."""
        self._left_alone[instrument] = self._clock() + LEFT_ALONE, why

    def release(self) -> None:
        """An operator has looked into why instruments are blocked."""
        self._blocked.clear()
        self._left_alone.clear()
