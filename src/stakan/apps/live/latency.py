"""How long the stages of a running bot take: the newest samples of each, and their percentiles."""

from collections import deque

import numpy as np

from stakan.apps.live.histogram import Histogram
from stakan.apps.projection import Latency
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import AnyEvent, MarketEvent, OrderEvent, OrderFilled
from stakan.core.domain.ids import ClientOrderId
from stakan.core.domain.step import Step
from stakan.core.domain.units import MILLISECOND, MINUTE, Nanos

FEED = "feed"
"""Exchange's time of a market message to our receipt, by the exchange's clock as we know it."""
DECIDE = "decide"
"""Receipt of a frame to its orders handed to the socket, journal synced in between."""
SUBMIT = "submit"
"""Engine's decision to its order handed to the socket, journal synced in between: the part of `decide` after the engine."""
ACKNOWLEDGE = "acknowledge"
"""Decision to the first word of the exchange about the order."""
FILL = "fill"
"""Decision to the first execution."""
STAGES = (FEED, DECIDE, SUBMIT, ACKNOWLEDGE, FILL)
SAMPLES = 4096
SPAN_NS = Nanos(5 * MINUTE)
_EVERY = 8
"""Of market messages, one in so many is measured."""


class Latencies:
    """Samples of all stages; nanoseconds."""

    def __init__(self) -> None:
        self.offset_ns = 0
        """How far the exchange's clock is ahead of ours."""
        self.totals = {stage: Histogram() for stage in STAGES}
        """Of all samples since the start."""
        self.syncs = Histogram()
        """How long the journal took to be on the disk."""
        self._samples: dict[str, deque[tuple[int, int]]] = {stage: deque(maxlen=SAMPLES) for stage in STAGES}
        self._sent: dict[ClientOrderId, tuple[int, bool]] = {}
        """When an order was decided, and whether the exchange has spoken of it."""
        self._seen = 0

    def add(self, stage: str, ts: int, taken: int) -> None:
        """One sample at `ts`."""
        self._samples[stage].append((ts, taken))
        self.totals[stage].add(taken)

    def observe(self, event: AnyEvent, step: Step) -> None:
        """Take what an event says of the feed and of orders."""
        if isinstance(event, MarketEvent):
            self._seen += 1
            if self._seen % _EVERY == 0:
                self.add(FEED, event.ts_recv, event.ts_recv + self.offset_ns - event.ts_event)
        elif isinstance(event, OrderEvent):
            self._answered(event)
        for command in step.commands:
            if type(command) is SubmitOrder:
                self._sent[command.order.client_order_id] = (step.ts, False)
                if len(self._sent) > SAMPLES:
                    del self._sent[next(iter(self._sent))]

    def _answered(self, event: OrderEvent) -> None:
        sent = self._sent.get(event.client_order_id)
        if sent is None:
            return
        ts, is_acknowledged = sent
        if not is_acknowledged:
            self.add(ACKNOWLEDGE, event.ts_recv, event.ts_recv - ts)
            self._sent[event.client_order_id] = (ts, True)
        if isinstance(event, OrderFilled):
            self.add(FILL, event.ts_recv, event.ts_recv - ts)
            del self._sent[event.client_order_id]

    def summary(self, now: int) -> tuple[Latency, ...]:
        """Percentiles of each stage that has samples in the last minutes."""
        return tuple(found for stage in STAGES if (found := self._of(stage, now)) is not None)

    def _of(self, stage: str, now: int) -> Latency | None:
        recent = [taken for ts, taken in self._samples[stage] if now - ts <= SPAN_NS]
        if not recent:
            return None
        p50, p99, worst = np.percentile(np.array(recent), (50, 99, 100)) / MILLISECOND
        return Latency(stage=stage, count=len(recent), p50=float(p50), p99=float(p99), worst=float(worst))
