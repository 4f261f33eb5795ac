"""Who takes the orders of a running bot: an exchange, a simulated one that sees the live market, or nobody."""

import msgspec

from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange
from stakan.apps.driver import NEVER
from stakan.core.domain.batch import BatchBuilder, MarketBatch, window
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder, VenueCommand
from stakan.core.domain.events import AnyMarketEvent, CancelRejected, OrderFailed, ProtectionRejected, VenueEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.ports import Venue

SHADOW = "shadow: not sent"
_ROWS_AT_ONCE = 2048
"""Rows of an instrument without orders that may wait before the simulated exchange takes them."""


class AtVenue:
    """A real exchange; its answers are delivered by its adapter."""

    next_due = NEVER

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._pending: list[VenueCommand] = []

    def see(self, event: AnyMarketEvent) -> None:
        """It has its own market."""

    def advance(self, now: int) -> list[VenueEvent]:  # noqa: ARG002 - the port's signature
        """Nothing: its answers come from outside."""
        return []

    def submit(self, command: VenueCommand, now: int) -> None:  # noqa: ARG002
        """Wait for `release`."""
        self._pending.append(command)

    def release(self) -> None:
        """Send what waits."""
        pending, self._pending = self._pending, []
        for command in pending:
            self._venue.send(command)

    def release_stops(self) -> None:
        """Send the stops among what waits."""
        self._pending = [one for one in self._pending if isinstance(one, SetProtection) and one.stop_loss is not None]
        self.release()


class Shadow:
    """Nobody: every order fails at once, and nothing leaves."""

    def __init__(self) -> None:
        self._news: list[VenueEvent] = []

    @property
    def next_due(self) -> int:
        """The time of the oldest answer that waits."""
        return self._news[0].ts_recv if self._news else NEVER

    def see(self, event: AnyMarketEvent) -> None:
        """It does not look."""

    def advance(self, now: int) -> list[VenueEvent]:  # noqa: ARG002 - the port's signature
        """The answers to what was submitted."""
        news, self._news = self._news, []
        return news

    def submit(self, command: VenueCommand, now: int) -> None:
        """Answer with a failure of the same moment."""
        self._news.append(_not_sent(command, now))

    def release(self) -> None:
        """Nothing leaves."""

    def release_stops(self) -> None:
        """Nothing leaves."""


def _not_sent(command: VenueCommand, now: int) -> VenueEvent:
    match command:
        case SubmitOrder(order=order):
            return OrderFailed(
                ts_event=now,
                ts_recv=now,
                instrument=order.instrument,
                client_order_id=order.client_order_id,
                why=SHADOW,
            )
        case CancelOrder() | AmendOrder():
            return CancelRejected(
                ts_event=now,
                ts_recv=now,
                instrument=command.instrument,
                client_order_id=command.client_order_id,
                why=SHADOW,
                is_amendment=isinstance(command, AmendOrder),
            )
        case SetProtection():
            return ProtectionRejected(ts_event=now, ts_recv=now, instrument=command.instrument, why=SHADOW)


class Paper:
    """A simulated exchange that lives through the market when the bot receives it (`ts_exchange = ts_recv`).

    Rows of an instrument in which nothing of ours is wait, and are taken when an order comes: most of them for
    nothing else than the book at that moment.
    """

    def __init__(self, exchange: SimulatedExchange, instruments: list[InstrumentId]) -> None:
        self.exchange = exchange
        self._rows = {key: BatchBuilder(key) for key in instruments}
        self._watched: set[InstrumentId] = set()
        self._arrivals = 0

    @property
    def next_due(self) -> int:
        """When the next command reaches the exchange."""
        return self.exchange.next_arrival

    def see(self, event: AnyMarketEvent) -> None:
        """Keep a row, to be lived through at its receive time."""
        rows = self._rows[event.instrument]
        rows.add(event, self._arrivals)
        self._arrivals += 1
        if event.instrument in self._watched or len(rows) >= _ROWS_AT_ONCE:
            self._feed(event.instrument)

    def advance(self, now: int) -> list[VenueEvent]:
        """Live on."""
        return self.exchange.advance(now)

    def submit(self, command: VenueCommand, now: int) -> None:
        """On its way at once: the delay of paper is virtual, so what is on the disk makes no difference to it."""
        key = command.order.instrument if isinstance(command, SubmitOrder) else command.instrument
        self._watched.add(key)
        self._feed(key)
        self.exchange.submit(command, now)

    def release(self) -> None:
        """All of it is on its way; instruments in which nothing of ours is left may wait again."""
        if self.exchange.next_arrival == NEVER:
            self._watched = {key for key in self._watched if self.exchange.is_busy(key)}

    def release_stops(self) -> None:
        """Nothing waits here."""

    def _feed(self, key: InstrumentId) -> None:
        rows = self._rows[key]
        if len(rows):
            self.exchange.feed(window((at_receipt(rows.build()),)))


def at_receipt(batch: MarketBatch) -> MarketBatch:
    """The same rows, lived through when they are received."""
    return msgspec.structs.replace(batch, ts_exchange=batch.ts_recv)
