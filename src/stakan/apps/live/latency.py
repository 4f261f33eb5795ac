"""How long the stages of a running bot take: the newest samples of each, and their percentiles."""

from collections import deque

import msgspec
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
"""Engine's decision to its order handed to the socket, journal synced in between: the part of `decide` after the engine.

Where no order leaves (paper, shadow) it ends when the journal is synced.
"""
ACKNOWLEDGE = "acknowledge"
"""Decision to the first word of the exchange about the order."""
FILL = "fill"
"""Decision to the first execution."""
STAGES = (FEED, DECIDE, SUBMIT, ACKNOWLEDGE, FILL)
SAMPLES = 4096
SPAN_NS = Nanos(5 * MINUTE)
_EVERY = 8
"""Of market messages, one in so many is measured."""


class Moments(msgspec.Struct):
    """When what happened to an order; nanoseconds UTC, 0 where it has not."""

    received: int
    """Receipt of the event that it answers: the engine's now."""
    decided: int = 0
    """The engine was done with it, by the bot's clock."""
    sent: int = 0
    acknowledged: int = 0
    """First word of the exchange."""
    filled: int = 0
    """First execution."""


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
        self._orders: dict[ClientOrderId, Moments] = {}
        """The newest ones."""
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
                self._noted(command.order.client_order_id, step.ts)

    def moments(self, order: ClientOrderId) -> Moments | None:
        """What is known of an order; None of one that was not sent in this run, or long ago."""
        return self._orders.get(order)

    def decided(self, order: ClientOrderId, received: Nanos, now: int) -> None:
        """The engine has decided it by `now`, as an answer to what was received."""
        self._noted(order, received).decided = max(received, now)

    def sent(self, order: ClientOrderId, now: int) -> None:
        """It was handed over; what comes after the first time does not count."""
        moments = self._orders.get(order)
        if moments is not None and moments.decided and not moments.sent:
            moments.sent = max(moments.decided, now)
            self.add(SUBMIT, now, moments.sent - moments.decided)

    def _noted(self, order: ClientOrderId, received: Nanos) -> Moments:
        moments = self._orders.get(order)
        if moments is None:
            moments = self._orders[order] = Moments(received)
            if len(self._orders) > SAMPLES:
                del self._orders[next(iter(self._orders))]
        return moments

    def _answered(self, event: OrderEvent) -> None:
        moments = self._orders.get(event.client_order_id)
        if moments is None:
            return
        taken = event.ts_recv - moments.received
        if not moments.acknowledged:
            moments.acknowledged = event.ts_recv
            self.add(ACKNOWLEDGE, event.ts_recv, taken)
        if isinstance(event, OrderFilled) and not moments.filled:
            moments.filled = event.ts_recv
            self.add(FILL, event.ts_recv, taken)

    def summary(self, now: int) -> tuple[Latency, ...]:
        """Percentiles of each stage that has samples in the last minutes."""
        return tuple(found for stage in STAGES if (found := self._of(stage, now)) is not None)

    def _of(self, stage: str, now: int) -> Latency | None:
        recent = [taken for ts, taken in self._samples[stage] if now - ts <= SPAN_NS]
        if not recent:
            return None
        p50, p99, worst = np.percentile(np.array(recent), (50, 99, 100)) / MILLISECOND
        return Latency(stage=stage, count=len(recent), p50=float(p50), p99=float(p99), worst=float(worst))
