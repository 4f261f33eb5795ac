"""Look-up of requests whose outcome is not known: the exchange is asked until it tells, or absence is proven."""

from collections.abc import Mapping
from decimal import Decimal

from stakan.adapters.exchanges.bybit import bodies, inquiry
from stakan.adapters.exchanges.bybit.bodies import symbol_of
from stakan.adapters.exchanges.bybit.context import StreamState, VenueContext
from stakan.adapters.exchanges.bybit.entry_gate import EntryGate
from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.flights import Flight, Flights
from stakan.adapters.exchanges.bybit.inquiry import Sighting
from stakan.adapters.exchanges.bybit.messages import OrderRow, millis
from stakan.adapters.exchanges.bybit.rest import Pause, Procedure
from stakan.core.domain.errors import VenueError
from stakan.core.domain.ids import ClientOrderId, InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, SECOND

_PROOF_MARGIN = 10 * SECOND
"""Beyond the receive window, until an order that is nowhere was never accepted (decision 3)."""
_CLOCK_TOLERANCE = SECOND


class LookUp:
    """Asks what became of single orders, one question at a time about each, and tells what is found."""

    def __init__(
        self,
        context: VenueContext,
        stream: StreamState,
        gate: EntryGate,
        flights: Flights,
        rules: Mapping[InstrumentId, Instrument],
    ) -> None:
        self._context = context
        self._patience, self._clock = context.patience, context.ports.clock
        self._translator = context.translator
        self._stream = stream
        self._gate = gate
        self._flights = flights
        self._rules = rules
        self._looking: set[ClientOrderId] = set()
        self._lacks: dict[ClientOrderId, int] = {}
        """Since when executions of an order are known to be missing."""

    def begin(self, flight: Flight, *, verify: bool = False, why: str = "") -> None:
        """Find out what became of a request; `verify` where its id may be another order's, `why` if it is rejected."""
        if flight.kind is Kind.CREATE:
            if flight.client in self._looking:
                return
            self._looking.add(flight.client)
            self._context.run(self._search(flight, verify=verify))
        else:
            self._context.run(self._settle(flight, why))

    def take(self, sighting: Sighting) -> None:
        """Tell what is new in what was found."""
        now = self._clock()
        self._context.tell(self._translator.orders(sighting.orders, now))
        self._context.tell(self._translator.executions(sighting.executions, now))

    def tick(self, now: int) -> None:
        """Ask for executions that orders count and that have not come; what they are waited for too long is given up."""
        lacking = self._translator.lacking(now - 2 * self._patience.tick)
        still = {client for _, client in lacking}
        self._lacks = {client: since for client, since in self._lacks.items() if client in still}
        for instrument, client in lacking:
            self._fetch_executions(instrument, client, now)

    # --- orders -----------------------------------------------------------------------------------------------------

    def _search(self, flight: Flight, *, verify: bool) -> Procedure[None]:
        """Until the exchange or its stream tells of the order, or its absence is proven."""
        wait = self._patience.first_look
        try:
            while verify or not self._translator.is_seen(flight.client):
                asked = self._clock()
                sighting = yield from self._sighting(flight)
                # Executions alone do not say whose order it is.
                if sighting is not None and (sighting.orders or (sighting.executions and not verify)):
                    if verify and not self._is_ours(flight, sighting):
                        self._foreign_id(flight)
                        return
                    self.take(sighting)
                    return
                if sighting is not None and sighting.is_nothing and self._is_proof(flight, asked):
                    self._flights.not_sent(flight, "not found at the exchange: it never arrived")
                    return
                yield Pause(self._context.jittered(wait))
                wait = min(2 * wait, self._patience.longest_look)
        finally:
            self._looking.discard(flight.client)

    def _settle(self, flight: Flight, why: str) -> Procedure[None]:
        """Whether a cancel or an amendment came to anything; rejected where the order is what it was for too long."""
        wait = self._patience.first_look
        until = self._clock() + self._patience.receive_window
        while True:
            sighting = yield from self._sighting(flight)
            if sighting is not None:
                self.take(sighting)
            known = self._translator
            is_over = known.is_over(flight.client) and known.is_seen(flight.client)
            if flight.kind is Kind.AMEND and not known.awaits_terms(flight.client):
                return
            if is_over and flight.kind is Kind.CANCEL:
                return
            if is_over:
                # The engine counts with the larger of two sizes until it is told that the new one does not come.
                self._flights.rejected(flight, why or "the order was finished first")
                return
            if self._clock() >= until:
                self._flights.rejected(flight, why or "accepted, without effect")
                return
            yield Pause(self._context.jittered(wait))
            wait = min(2 * wait, self._patience.longest_look)

    def _sighting(self, flight: Flight) -> Procedure[Sighting | None]:
        try:
            return (yield from inquiry.find_order(symbol_of(flight.instrument), flight.client))
        except VenueError as error:
            self._context.ports.note(f"look-up of {flight.client}: {error}")
            return None

    def _is_proof(self, flight: Flight, asked: int) -> bool:
        """Decision 3: late enough that no copy can still be valid, by a clock and a stream that can be trusted."""
        is_late = asked >= flight.sent + self._patience.receive_window + _PROOF_MARGIN
        return is_late and self._context.server_clock.is_synced and self._stream.is_complete

    def _is_ours(self, flight: Flight, sighting: Sighting) -> bool:
        """Whether what was found under an id that is used is what we asked for, and younger than the asking."""
        order, rules = flight.order, self._rules[flight.instrument]
        if order is None:
            return False
        row: OrderRow = sighting.orders[0]
        oldest = (flight.began + self._context.server_clock.offset - _CLOCK_TOLERANCE) // MILLISECOND
        is_same = row.side == bodies.SIDES[order.side] and Decimal(row.qty or 0) == rules.size(order.size)
        if order.price is not None:
            is_same = is_same and Decimal(row.price or 0) == rules.price(order.price)
        return is_same and millis(row.created_time) >= oldest

    def _foreign_id(self, flight: Flight) -> None:
        why = f"client id {flight.client} belongs to another order at the exchange"
        self._gate.block(flight.instrument, why)
        self._flights.rejected(flight, why)
        self._context.latch.halt(f"{flight.instrument}: {why}")

    # --- executions -------------------------------------------------------------------------------------------------

    def _fetch_executions(self, instrument: InstrumentId, client: ClientOrderId, now: int) -> None:
        since = self._lacks.setdefault(client, now)
        if now - since >= self._patience.executions:
            del self._lacks[client]
            self._context.ports.note(f"{client}: executions that the order counts do not appear")
            self._context.tell(self._translator.release(client, now))
        elif client not in self._looking:
            self._looking.add(client)
            self._context.run(self._executions(instrument, client))

    def _executions(self, instrument: InstrumentId, client: ClientOrderId) -> Procedure[None]:
        try:
            rows = yield from inquiry.executions_of(symbol_of(instrument), client)
            self._context.tell(self._translator.executions(rows, self._clock()))
        except VenueError as error:
            self._context.ports.note(f"executions of {client}: {error}")
        finally:
            self._looking.discard(client)
