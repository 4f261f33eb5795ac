"""What follows from an answer to a request about orders, and from none: retry, rejection, halt, or a look-up."""

from collections.abc import Callable

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.bodies import symbol_of
from stakan.adapters.exchanges.bybit.capabilities import Capability
from stakan.adapters.exchanges.bybit.clock_keeper import ClockKeeper
from stakan.adapters.exchanges.bybit.context import VenueContext
from stakan.adapters.exchanges.bybit.entry_gate import EntryGate
from stakan.adapters.exchanges.bybit.errors import CLOCK_OFF, DUPLICATE_ID, NO_OPENING, Kind, Reaction
from stakan.adapters.exchanges.bybit.flights import Flight, Flights
from stakan.adapters.exchanges.bybit.look_up import LookUp
from stakan.adapters.exchanges.bybit.messages import OrderIds, read
from stakan.adapters.exchanges.bybit.order_router import OrderRouter
from stakan.adapters.exchanges.bybit.rest import Procedure, Reply, measure_clock
from stakan.core.domain.errors import DataError, VenueError
from stakan.core.domain.events import OutcomeLost

_FIRST_DECIDES = frozenset((DUPLICATE_ID, 10014, 20006))
"""An earlier request did it: this one says nothing of what became of the order."""


class Outcomes:
    """Brings every request to an end that the exchange vouches for; sends again what it says it did not carry out."""

    def __init__(
        self,
        context: VenueContext,
        gate: EntryGate,
        flights: Flights,
        look_up: LookUp,
        clock_keeper: ClockKeeper,
        *,
        read_account: Callable[[], None],
        session: str,
    ) -> None:
        self.router = OrderRouter(context, flights, session, answered=self._answered, unknown=self._unknown)
        """The way out; what comes back of it is judged here."""
        self._context = context
        self._ports, self._patience, self._translator = context.ports, context.patience, context.translator
        self._clock, self._timers = context.ports.clock, context.ports.timers
        self._gate = gate
        self._flights = flights
        self._look_up = look_up
        self._clock_keeper = clock_keeper
        self._read_account = read_account

    # --- answers ----------------------------------------------------------------------------------------------------

    def _answered(self, flight: Flight, reply: Reply) -> None:
        flight.call_timer_off()
        match reply.reaction:
            case Reaction.OK:
                self._accepted(flight, reply)
            case Reaction.RETRY:
                self._again(flight, reply)
            case Reaction.AMBIG:
                self._unknown(flight, reply.why)
            case Reaction.RECON:
                self._reconcile(flight, reply)
            case Reaction.REJ:
                if flight.can_be_held_back and reply.code in NO_OPENING:
                    self._gate.leave_alone(flight.instrument, reply.why)
                self._flights.rejected(flight, reply.why)
            case Reaction.RISK:
                self._flights.rejected(flight, reply.why)
                if self._context.line.breakers[Capability.QUERIES].allow(self._clock()):
                    self._read_account()
            case Reaction.FATAL:
                self._flights.rejected(flight, reply.why)
                self._context.latch.halt(f"{flight.path}: {reply.why}")

    def _accepted(self, flight: Flight, reply: Reply) -> None:
        """Accepted is not done: if its effect does not show in time, it is looked up."""
        if flight.kind is Kind.CREATE:
            try:
                ids = read(OrderIds, reply.result, flight.path) if reply.result else OrderIds()
            except DataError as error:
                self._unknown(flight, str(error))
                return
            self._context.tell(self._translator.bind(flight.client, ids.order_id, self._clock()))
        wait = self._patience.effect if reply.code == 0 else 0
        self._timers(wait, lambda: self._expect_effect(flight))

    def _expect_effect(self, flight: Flight) -> None:
        known = self._translator
        if flight.kind is Kind.PROTECT:
            self._check_protection(flight)
        elif flight.kind is Kind.CREATE:
            if not known.is_seen(flight.client):
                self._look_up.begin(flight)
        elif known.awaits_terms(flight.client) if flight.kind is Kind.AMEND else not known.is_over(flight.client):
            self._look_up.begin(flight)

    def _again(self, flight: Flight, reply: Reply) -> None:
        """The same request with the same id; at the end it is known that it was not carried out."""
        if reply.code == CLOCK_OFF:
            self._again_in_time(flight, reply)
            return
        if flight.attempts > self._patience.retries:
            self._flights.not_sent(flight, reply.why)
            return
        base = self._patience.first_retry << (flight.attempts - 1)
        jittered = base + int(self._ports.chance.integers(0, base // 2 + 1))
        self._flights.hold(flight)
        flight.call_off = self._timers(jittered, lambda: self._relaunch(flight))

    def _again_in_time(self, flight: Flight, reply: Reply) -> None:
        """Once more when their clock was read; a second refusal stops trading."""
        flight.clock_refusals += 1
        if flight.clock_refusals > 1:
            self._clock_keeper.measure()
            self._context.latch.halt(f"the exchange refuses our time: {reply.why}: check this machine's clock")
            self._flights.not_sent(flight, reply.why)
            return
        self._flights.hold(flight)
        self._context.line.run(
            measure_clock(self._context.server_clock, self._clock, samples=1),
            lambda _: self._relaunch(flight),
            lambda _: self._relaunch(flight),
        )

    def _relaunch(self, flight: Flight) -> None:
        if flight.is_over:
            return
        self._flights.let_go(flight)
        if flight.kind is Kind.CREATE and self._translator.is_seen(flight.client):
            return
        if flight.is_superseded:
            return
        self.router.launch(flight)

    def _reconcile(self, flight: Flight, reply: Reply) -> None:
        if flight.kind in (Kind.AMEND, Kind.CANCEL) or reply.code in _FIRST_DECIDES:
            self._look_up.begin(flight, verify=reply.code == DUPLICATE_ID, why=reply.why)
        else:
            self._flights.rejected(flight, reply.why)
            self._read_account()

    def _unknown(self, flight: Flight, why: str) -> None:
        flight.call_timer_off()
        if flight.kind is Kind.PROTECT:
            self._check_protection(flight)
            return
        if flight.kind is Kind.CREATE and not self._translator.is_seen(flight.client):
            now = self._clock()
            self._ports.deliver(
                OutcomeLost(ts_event=now, ts_recv=now, instrument=flight.instrument, client_order_id=flight.client)
            )
        self._ports.note(f"{flight.path} {flight.client}: outcome unknown: {why}")
        self._look_up.begin(flight, why=why)

    # --- protection -------------------------------------------------------------------------------------------------

    def _check_protection(self, flight: Flight) -> None:
        """Read the position unless what was asked for is in force; a newer request makes this one moot."""
        if flight.is_superseded or flight.is_over:
            return
        if self._translator.protection(flight.instrument) == flight.protection:
            return
        self._context.run(self._confirm_protection(flight))

    def _confirm_protection(self, flight: Flight) -> Procedure[None]:
        asked = self._context.server_clock.past_millis()
        try:
            rows = yield from inquiry.position(symbol_of(flight.instrument))
        except VenueError as error:
            self._flights.rejected(flight, str(error))
            return
        self._context.tell(self._translator.positions(rows, self._clock(), asked))
        if flight.is_superseded:
            return
        if self._translator.protection(flight.instrument) != flight.protection:
            if flight.attempts <= self._patience.retries:
                # Setting the same stop twice is the same stop.
                self.router.launch(flight)
            else:
                self._flights.rejected(flight, "the exchange does not show it")
