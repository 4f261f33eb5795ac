"""The way of requests about orders: over the trade socket where it is logged in and works, over REST otherwise."""

from collections.abc import Callable
from functools import partial
from itertools import count

from stakan.adapters.exchanges.bybit.capabilities import Capability
from stakan.adapters.exchanges.bybit.context import VenueContext
from stakan.adapters.exchanges.bybit.errors import NODE_RESTARTS, TOO_FAST, UID_LIMIT
from stakan.adapters.exchanges.bybit.flights import Flight, Flights
from stakan.adapters.exchanges.bybit.messages import TradeFrame
from stakan.adapters.exchanges.bybit.rest import Reply, Request, Sender, judge
from stakan.core.domain.errors import RateLimited
from stakan.core.domain.units import MILLISECOND


class OrderRouter:
    """Sends requests in their turn within the limits, and tells what was answered or that nothing was."""

    def __init__(
        self,
        context: VenueContext,
        flights: Flights,
        session: str,
        *,
        answered: Callable[[Flight, Reply], None],
        unknown: Callable[[Flight, str], None],
    ) -> None:
        """`session` begins the ids of requests; `unknown` is told of requests whose answer will not come, and why."""
        self.trade: Sender | None = None
        """The trade socket while it is logged in."""
        self._context = context
        self._clock, self._timers, self._patience = context.ports.clock, context.ports.timers, context.patience
        self._breakers = context.line.breakers
        self._flights = flights
        self._answered = answered
        self._unknown = unknown
        self._session = session
        self._numbers = count(1)
        self._window = str(self._patience.receive_window // MILLISECOND).encode()
        self._unanswered: dict[str, Flight] = {}
        """On the trade socket, by the request's id."""

    def launch(self, flight: Flight) -> None:
        """Send it; where nothing could be sent, that is told after the engine's step."""
        if not self._goes_by_socket(flight):
            self._by_rest(flight)
            return
        now = self._clock()
        try:
            wait = self._context.limiter.acquire(flight.group, now, self._patience.turn, over_http=False)
        except RateLimited as error:
            self._timers(0, partial(self._flights.not_sent, flight, f"our own limit: {error}"))
            return
        if wait:
            flight.booked = now + wait
            self._flights.hold(flight)
            flight.call_off = self._timers(wait, lambda: self._by_socket(flight))
        else:
            self._by_socket(flight)

    def take_back(self, flight: Flight) -> None:
        """One that waits here does not leave any more."""
        if flight.booked:
            self._context.limiter.give_back(flight.group, flight.booked)
        self._flights.land(flight)

    def _goes_by_socket(self, flight: Flight) -> bool:
        """Where there is one that has the operation, unless it fails; REST decides for itself."""
        if not (flight.op and self.trade is not None):
            return False
        socket, rest = self._breakers[Capability.ORDERS_SOCKET], self._breakers[Capability.ORDERS_REST]
        if flight.can_be_held_back:
            return socket.allow(self._clock())
        return socket.is_closed or not rest.is_closed

    def _by_socket(self, flight: Flight) -> None:
        flight.booked = 0
        self._flights.let_go(flight)
        trade = self.trade
        name = f"{self._session}-{next(self._numbers)}"
        now = self._context.server_clock.millis()
        frame = b'{"reqId":"%b","header":{"X-BAPI-TIMESTAMP":"%d","X-BAPI-RECV-WINDOW":"%b"},"op":"%b","args":[%b]}' % (
            name.encode(),
            now,
            self._window,
            flight.op,
            flight.body,
        )
        if trade is None or not trade.send(frame):
            self._by_rest(flight)
            return
        flight.sent = self._clock()
        flight.attempts += 1
        self._unanswered[name] = flight
        flight.call_off = self._timers(self._patience.answer, lambda: self._no_answer(name))

    def _by_rest(self, flight: Flight) -> None:
        breaker, now = self._breakers[Capability.ORDERS_REST], self._clock()
        if flight.can_be_held_back and not breaker.allow(now):
            self._timers(0, partial(self._flights.not_sent, flight, f"held back: {breaker.why(now)}"))
            return
        flight.sent = now
        flight.attempts += 1
        request = Request(
            kind=flight.kind, group=flight.group, path=flight.path, body=flight.body, max_wait=self._patience.turn
        )
        self._context.line.ask(request, partial(self._answered, flight))

    def _no_answer(self, name: str) -> None:
        flight = self._unanswered.pop(name, None)
        if flight is not None:
            self._socket_failed("no answer in time")
            self._unknown(flight, "no answer in time")

    # --- the trade socket -------------------------------------------------------------------------------------------

    def on_down(self, why: str) -> None:
        """The trade socket is gone: whatever waits for an answer there is unknown."""
        self.trade = None
        flights, self._unanswered = self._unanswered, {}
        if flights:
            self._socket_failed(f"lost with {len(flights)} requests under way: {why}")
        for flight in flights.values():
            self._unknown(flight, f"trade socket: {why}")

    def on_answer(self, frame: TradeFrame) -> None:
        """An answer on the trade socket, with what it says of the limits."""
        flight = self._unanswered.pop(frame.req_id, None)
        if flight is None:
            self._context.ports.note(f"late answer {frame.req_id}: {frame.ret_code} {frame.ret_msg}")
            return
        header, now, limiter = frame.header, self._clock(), self._context.limiter
        if header.limit.isdigit() and header.left.isdigit() and header.reset.isdigit():
            reset = int(header.reset) * MILLISECOND - self._context.server_clock.offset
            limiter.learn(flight.group, int(header.limit), int(header.left), reset, now)
            if frame.ret_code == UID_LIMIT:
                limiter.refused(flight.group, reset)
        if frame.ret_code in TOO_FAST:
            limiter.slow_down(flight.group, now)
        if frame.ret_code == NODE_RESTARTS:
            # Until the session has a new connection, orders go by REST.
            self.trade = None
        reply = judge(flight.kind, frame.ret_code, frame.ret_msg, frame.data)
        if reply.is_outage:
            self._socket_failed(f"{flight.path}: {reply.why}")
        else:
            self._breakers[Capability.ORDERS_SOCKET].success(now)
        self._answered(flight, reply)

    def _socket_failed(self, why: str) -> None:
        self._breakers[Capability.ORDERS_SOCKET].failure(self._clock(), why)
