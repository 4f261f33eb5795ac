"""Orders to Bybit v5 and what becomes of them: a state machine without I/O.

Commands leave in the call of `send`: over the trade socket where it is logged in, over REST otherwise. What the
exchange says comes back as events through `deliver`, never inside `send`. Three rules hold throughout:

- A request without an answer is *unknown*, never failed: it is looked up by its client id until the exchange tells, and
  an order counts as never accepted only after decision 3's proof.
- The same id goes out again only where the exchange said that it did not carry the request out.
- The stream alone is no proof: accepted requests that have no effect in time are looked up, the private stream's gaps
  are closed over REST, and the whole account is read again every minute.

Breakers hold back what can wait, entries and routine readings, while a capability of the exchange fails. Cancels,
amendments, reduce-only orders, stops and look-ups always leave.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from itertools import count

import msgspec

from stakan.adapters.exchanges.bybit import bodies, inquiry
from stakan.adapters.exchanges.bybit.account_reader import AccountReader
from stakan.adapters.exchanges.bybit.bodies import symbol_of
from stakan.adapters.exchanges.bybit.capabilities import Breakers, Capability
from stakan.adapters.exchanges.bybit.clock_keeper import ClockKeeper
from stakan.adapters.exchanges.bybit.context import HaltLatch, Patience, Ports, StreamState, VenueContext
from stakan.adapters.exchanges.bybit.entry_gate import EntryGate
from stakan.adapters.exchanges.bybit.errors import (
    CLOCK_OFF,
    DUPLICATE_ID,
    NO_OPENING,
    NODE_RESTARTS,
    TOO_FAST,
    UID_LIMIT,
    Kind,
    Reaction,
)
from stakan.adapters.exchanges.bybit.flights import Flight, Flights, change_rejected, order_failed, protection_rejected
from stakan.adapters.exchanges.bybit.limits import Group, RateLimiter
from stakan.adapters.exchanges.bybit.look_up import LookUp
from stakan.adapters.exchanges.bybit.messages import OrderIds, PrivateFrame, TradeFrame, read
from stakan.adapters.exchanges.bybit.private import Translator
from stakan.adapters.exchanges.bybit.rest import (
    Line,
    Procedure,
    Reply,
    Request,
    Sender,
    ServerClock,
    judge,
    measure_clock,
)
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder, VenueCommand
from stakan.core.domain.errors import DataError, RateLimited, VenueError
from stakan.core.domain.events import (
    CancelRejected,
    OutcomeLost,
)
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder
from stakan.core.domain.units import MILLISECOND
from stakan.core.portfolio.orders import Order

_FIRST_DECIDES = frozenset((DUPLICATE_ID, 10014, 20006))
"""An earlier request did it: this one says nothing of what became of the order."""


class BybitVenue:
    """One account of Bybit; implements `ports.Venue`. Sessions tell it of sockets, `line` does REST."""

    def __init__(
        self,
        instruments: Mapping[InstrumentId, Instrument],
        venue: str,
        ports: Ports,
        *,
        patience: Patience | None = None,
        limiter: RateLimiter | None = None,
        server_clock: ServerClock | None = None,
        session: str = "",
    ) -> None:
        self.patience = patience or Patience()
        self.server_clock = server_clock or ServerClock(ports.clock)
        self.limiter = limiter or RateLimiter()
        self.translator = Translator(instruments, venue)
        self.line = Line(
            ports.transport,
            self.limiter,
            self.server_clock,
            clock=ports.clock,
            timers=ports.timers,
            chance=ports.chance,
        )
        self.breakers: Breakers = self.line.breakers
        """By capability; what they count are outages, never refusals."""
        self.latch = HaltLatch(ports.halt)
        self.stream = StreamState()
        self.trade: Sender | None = None
        """The trade socket while it is logged in."""
        self._context = VenueContext(
            ports=ports,
            patience=self.patience,
            limiter=self.limiter,
            server_clock=self.server_clock,
            line=self.line,
            translator=self.translator,
            latch=self.latch,
        )
        self._gate = EntryGate(self.latch, self.stream, ports.clock)
        self._clock_keeper = ClockKeeper(self._context)
        self._rules = dict(instruments)
        self._ports = ports
        self._clock, self._timers, self._deliver = ports.clock, ports.timers, ports.deliver
        self._session = session or f"{ports.clock():x}"
        self._numbers = count(1)
        self._window = str(self.patience.receive_window // MILLISECOND).encode()
        self._flights = Flights(self._context)
        self._look_up = LookUp(self._context, self.stream, self._gate, self._flights, self._rules)
        self._unanswered: dict[str, Flight] = {}
        """On the trade socket, by the request's id."""
        self._protecting: dict[InstrumentId, Flight] = {}
        self._reader = AccountReader(self._context, self.stream, self._look_up, self._rules, venue)
        self._is_isolated = False
        self._call_off_tick: Callable[[], None] | None = None
        self._encode = msgspec.json.Encoder().encode

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to watch; call it once the transport works and the exchange's clock was read."""
        self._reader.start()
        self._call_off_tick = self._timers(self.patience.tick, self._tick)

    def stop(self) -> None:
        """Watch no more; what is in flight stays what it is."""
        if self._call_off_tick is not None:
            self._call_off_tick()
            self._call_off_tick = None

    def resume(self, since_millis: int) -> None:
        """Executions from this moment on are to be read at the first look, e.g. the last one that a journal knows."""
        self._reader.resume(since_millis)

    def adopt(self, order: Order) -> None:
        """An order of the run before this one that may still live: never sent again.

        The first reading of the account tells of those that rest; the others are looked up then.
        """
        self._reader.adopt(order)

    def read_again(self) -> None:
        """The engine could not agree with the last reading: another one, soon."""
        self._reader.read_again()

    def release(self) -> None:
        """An operator has looked into why trading stopped: orders that open may leave again."""
        for breaker in self.breakers.values():
            breaker.reset(self._clock())
        self.latch.release()
        self._gate.release()

    def isolate(self) -> Procedure[None]:
        """Assert isolated margin, once; raises as `prepare`."""
        if not self._is_isolated:
            yield from inquiry.isolate()
            self._is_isolated = True

    def prepare(self, rules: Instrument, leverage: Decimal) -> Procedure[None]:
        """Assert isolated margin, one-way mode and leverage; orders that open are refused before it.

        Raises RequestRefused, VenueUnavailable or OutcomeUnknown.
        """
        yield from self.isolate()
        self._rules[rules.id] = rules
        self.translator.list_instrument(rules)
        asked = self.server_clock.past_millis()
        rows = yield from inquiry.prepare(symbol_of(rules.id), leverage)
        self._context.tell(self.translator.positions(rows, self._clock(), asked))
        self._gate.prepared(rules.id)

    def is_prepared(self, instrument: InstrumentId) -> bool:
        """Whether isolated margin, one-way mode and leverage were asserted for an instrument."""
        return self._gate.is_prepared(instrument)

    @property
    def account_read_ts(self) -> int:
        """When the account was last read without an error; 0 before the first time."""
        return self._reader.read_ts

    @property
    def stopped_for(self) -> str | None:
        """Why trading stopped, until a release."""
        return self.latch.stopped_for

    @property
    def is_streaming(self) -> bool:
        """Whether the private stream is subscribed to."""
        return self.stream.is_streaming

    @property
    def is_caught_up(self) -> bool:
        """Whether the account was read since the private stream last came or went."""
        return self.stream.is_caught_up

    # --- commands ---------------------------------------------------------------------------------------------------

    def send(self, command: VenueCommand) -> None:
        """Send a command; never waits and never raises for what the exchange may say."""
        match command:
            case SubmitOrder(order=order):
                self._submit(order)
            case CancelOrder() if command.venue_order_id:
                self._cancel_foreign(command)
            case CancelOrder():
                self._change(command, Kind.CANCEL, Group.CANCEL, bodies.cancellation(command))
            case AmendOrder():
                rules = self._rules.get(command.instrument)
                if rules is None:
                    self._context.tell_soon(self._amendment_rejected(command, "this instrument is not known"))
                    return
                self.translator.expect_terms(command.client_order_id, command.price, command.size)
                self._change(command, Kind.AMEND, Group.AMEND, bodies.amendment(command, rules))
            case SetProtection():
                self._protect(command)

    def _submit(self, order: NewOrder) -> None:
        is_known = order.instrument in self._rules
        why = self._gate.refusal(order) if is_known else "this instrument is not known"
        if why is not None:
            self._context.tell_soon(order_failed(order.instrument, order.client_order_id, why, self._clock()))
            return
        self.translator.expect(order)
        self._launch(
            Flight(
                kind=Kind.CREATE,
                instrument=order.instrument,
                group=Group.CREATE,
                path="/v5/order/create",
                op=b"order.create",
                body=self._encode(bodies.creation(order, self._rules[order.instrument])),
                client=order.client_order_id,
                order=order,
                began=self._clock(),
            )
        )

    def _cancel_foreign(self, command: CancelOrder) -> None:
        """An order that is not ours, or not any more: what became of it shows in the next reading."""
        request = Request(
            kind=Kind.CANCEL,
            group=Group.CANCEL,
            path="/v5/order/cancel",
            body=self._encode(bodies.cancellation(command)),
            max_wait=self.patience.turn,
        )
        self.line.ask(request, lambda reply: self._ports.note(f"cancel of {command.venue_order_id}: {reply.why}"))

    def _change(self, command: CancelOrder | AmendOrder, kind: Kind, group: Group, body: dict[str, object]) -> None:
        if self._drop_waiting(command):
            return
        name = kind.value
        self._launch(
            Flight(
                kind=kind,
                instrument=command.instrument,
                group=group,
                path=f"/v5/order/{name}",
                op=f"order.{name}".encode(),
                body=self._encode(body),
                client=command.client_order_id,
                began=self._clock(),
            )
        )

    def _drop_waiting(self, command: CancelOrder | AmendOrder) -> bool:
        """An order that still waits for its turn here is not there to be changed: a cancel takes it back."""
        waiting = self._flights.waiting(command.client_order_id)
        if waiting is None:
            return False
        is_there = self.translator.is_seen(waiting.client)
        if is_there or isinstance(command, CancelOrder):
            if waiting.booked:
                self.limiter.give_back(waiting.group, waiting.booked)
            self._flights.land(waiting)
        if is_there:
            # An earlier attempt arrived, whatever its answer said.
            return False
        if isinstance(command, CancelOrder):
            self._context.tell_soon(
                order_failed(waiting.instrument, waiting.client, "cancelled before it was sent", self._clock())
            )
        else:
            self.translator.forget_terms(command.client_order_id)
            self._context.tell_soon(self._amendment_rejected(command, "the order itself waits for its turn"))
        return True

    def _amendment_rejected(self, command: AmendOrder, why: str) -> CancelRejected:
        now = self._clock()
        return change_rejected(command.instrument, command.client_order_id, why, now, is_amendment=True)

    def _protect(self, command: SetProtection) -> None:
        rules = self._rules.get(command.instrument)
        if rules is None:
            self._context.tell_soon(
                protection_rejected(command.instrument, "this instrument is not known", self._clock())
            )
            return
        flight = Flight(
            kind=Kind.PROTECT,
            instrument=command.instrument,
            group=Group.PROTECT,
            path="/v5/position/trading-stop",
            body=self._encode(bodies.protection(command, rules)),
            protection=(command.stop_loss, command.take_profit),
            began=self._clock(),
        )
        older = self._protecting.get(command.instrument)
        if older is not None:
            older.is_superseded = True
        self._protecting[command.instrument] = flight
        self._launch(flight)

    # --- on the way -------------------------------------------------------------------------------------------------

    def _launch(self, flight: Flight) -> None:
        if not self._goes_by_socket(flight):
            self._by_rest(flight)
            return
        now = self._clock()
        try:
            wait = self.limiter.acquire(flight.group, now, self.patience.turn, over_http=False)
        except RateLimited as error:
            self._timers(0, partial(self._flights.not_sent, flight, f"our own limit: {error}"))
            return
        if wait:
            flight.booked = now + wait
            self._flights.hold(flight)
            flight.call_off = self._timers(wait, lambda: self._by_socket(flight))
        else:
            self._by_socket(flight)

    def _goes_by_socket(self, flight: Flight) -> bool:
        """Where there is one that has the operation, unless it fails; REST decides for itself."""
        if not (flight.op and self.trade is not None):
            return False
        socket, rest = self.breakers[Capability.ORDERS_SOCKET], self.breakers[Capability.ORDERS_REST]
        if flight.can_be_held_back:
            return socket.allow(self._clock())
        return socket.is_closed or not rest.is_closed

    def _by_socket(self, flight: Flight) -> None:
        flight.booked = 0
        self._flights.let_go(flight)
        trade = self.trade
        name = f"{self._session}-{next(self._numbers)}"
        now = self.server_clock.millis()
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
        flight.call_off = self._timers(self.patience.answer, lambda: self._no_answer(name))

    def _by_rest(self, flight: Flight) -> None:
        breaker, now = self.breakers[Capability.ORDERS_REST], self._clock()
        if flight.can_be_held_back and not breaker.allow(now):
            self._timers(0, partial(self._flights.not_sent, flight, f"held back: {breaker.why(now)}"))
            return
        flight.sent = now
        flight.attempts += 1
        request = Request(
            kind=flight.kind, group=flight.group, path=flight.path, body=flight.body, max_wait=self.patience.turn
        )
        self.line.ask(request, partial(self._answered, flight))

    def _no_answer(self, name: str) -> None:
        flight = self._unanswered.pop(name, None)
        if flight is not None:
            self._socket_failed("no answer in time")
            self._unknown(flight, "no answer in time")

    def _socket_failed(self, why: str) -> None:
        self.breakers[Capability.ORDERS_SOCKET].failure(self._clock(), why)

    # --- answers ----------------------------------------------------------------------------------------------------

    def on_trade_up(self, trade: Sender) -> None:
        """The trade socket is logged in."""
        self.trade = trade

    def on_trade_down(self, why: str) -> None:
        """The trade socket is gone: whatever waits for an answer there is unknown."""
        self.trade = None
        flights, self._unanswered = self._unanswered, {}
        if flights:
            self._socket_failed(f"lost with {len(flights)} requests under way: {why}")
        for flight in flights.values():
            self._unknown(flight, f"trade socket: {why}")

    def on_trade_answer(self, frame: TradeFrame) -> None:
        """An answer on the trade socket."""
        flight = self._unanswered.pop(frame.req_id, None)
        if flight is None:
            self._ports.note(f"late answer {frame.req_id}: {frame.ret_code} {frame.ret_msg}")
            return
        header, now = frame.header, self._clock()
        if header.limit.isdigit() and header.left.isdigit() and header.reset.isdigit():
            reset = int(header.reset) * MILLISECOND - self.server_clock.offset
            self.limiter.learn(flight.group, int(header.limit), int(header.left), reset, now)
            if frame.ret_code == UID_LIMIT:
                self.limiter.refused(flight.group, reset)
        if frame.ret_code in TOO_FAST:
            self.limiter.slow_down(flight.group, now)
        if frame.ret_code == NODE_RESTARTS:
            # Until the session has a new connection, orders go by REST.
            self.trade = None
        reply = judge(flight.kind, frame.ret_code, frame.ret_msg, frame.data)
        if reply.is_outage:
            self._socket_failed(f"{flight.path}: {reply.why}")
        else:
            self.breakers[Capability.ORDERS_SOCKET].success(now)
        self._answered(flight, reply)

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
                self._flights.refused(flight, reply.why)
            case Reaction.RISK:
                self._flights.refused(flight, reply.why)
                if self.breakers[Capability.QUERIES].allow(self._clock()):
                    self.read_account()
            case Reaction.FATAL:
                self._flights.refused(flight, reply.why)
                self.latch.halt(f"{flight.path}: {reply.why}")

    def _accepted(self, flight: Flight, reply: Reply) -> None:
        """Accepted is not done: if its effect does not show in time, it is looked up."""
        if flight.kind is Kind.CREATE:
            try:
                ids = read(OrderIds, reply.result, flight.path) if reply.result else OrderIds()
            except DataError as error:
                self._unknown(flight, str(error))
                return
            self._context.tell(self.translator.bind(flight.client, ids.order_id, self._clock()))
        wait = self.patience.effect if reply.code == 0 else 0
        self._timers(wait, lambda: self._expect_effect(flight))

    def _expect_effect(self, flight: Flight) -> None:
        known = self.translator
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
        if flight.attempts > self.patience.retries:
            self._flights.not_sent(flight, reply.why)
            return
        base = self.patience.first_retry << (flight.attempts - 1)
        jittered = base + int(self._ports.chance.integers(0, base // 2 + 1))
        self._flights.hold(flight)
        flight.call_off = self._timers(jittered, lambda: self._relaunch(flight))

    def _again_in_time(self, flight: Flight, reply: Reply) -> None:
        """Once more when their clock was read; a second refusal stops trading."""
        flight.clock_refusals += 1
        if flight.clock_refusals > 1:
            self._clock_keeper.measure()
            self.latch.halt(f"the exchange refuses our time: {reply.why}: check this machine's clock")
            self._flights.not_sent(flight, reply.why)
            return
        self._flights.hold(flight)
        self.line.run(
            measure_clock(self.server_clock, self._clock, samples=1),
            lambda _: self._relaunch(flight),
            lambda _: self._relaunch(flight),
        )

    def _relaunch(self, flight: Flight) -> None:
        if flight.is_over:
            return
        self._flights.let_go(flight)
        if flight.kind is Kind.CREATE and self.translator.is_seen(flight.client):
            return
        if flight.is_superseded:
            return
        self._launch(flight)

    def _reconcile(self, flight: Flight, reply: Reply) -> None:
        if flight.kind in (Kind.AMEND, Kind.CANCEL) or reply.code in _FIRST_DECIDES:
            self._look_up.begin(flight, verify=reply.code == DUPLICATE_ID, why=reply.why)
        else:
            self._flights.refused(flight, reply.why)
            self.read_account()

    def _unknown(self, flight: Flight, why: str) -> None:
        flight.call_timer_off()
        if flight.kind is Kind.PROTECT:
            self._check_protection(flight)
            return
        if flight.kind is Kind.CREATE and not self.translator.is_seen(flight.client):
            now = self._clock()
            self._deliver(
                OutcomeLost(ts_event=now, ts_recv=now, instrument=flight.instrument, client_order_id=flight.client)
            )
        self._ports.note(f"{flight.path} {flight.client}: outcome unknown: {why}")
        self._look_up.begin(flight, why=why)

    def _check_protection(self, flight: Flight) -> None:
        """Read the position unless what was asked for is in force; a newer request makes this one moot."""
        if flight.is_superseded or flight.is_over:
            return
        if self.translator.protection(flight.instrument) == flight.protection:
            return
        self._context.run(self._confirm_protection(flight))

    def _confirm_protection(self, flight: Flight) -> Procedure[None]:
        asked = self.server_clock.past_millis()
        try:
            rows = yield from inquiry.position(symbol_of(flight.instrument))
        except VenueError as error:
            self._flights.refused(flight, str(error))
            return
        self._context.tell(self.translator.positions(rows, self._clock(), asked))
        if flight.is_superseded:
            return
        if self.translator.protection(flight.instrument) != flight.protection:
            if flight.attempts <= self.patience.retries:
                # Setting the same stop twice is the same stop.
                self._launch(flight)
            else:
                self._flights.refused(flight, "the exchange does not show it")

    # --- the private stream -----------------------------------------------------------------------------------------

    def on_private_up(self) -> None:
        """The private topics are subscribed to."""
        self._reader.on_up()

    def on_private_down(self, why: str) -> None:
        """The private stream is gone."""
        self._reader.on_down(why)

    def on_private_frame(self, frame: PrivateFrame, ts_recv: int) -> None:
        """A message of a private topic."""
        self._reader.on_frame(frame, ts_recv)

    def read_account(self) -> None:
        """Read executions, open orders, positions and wallet, and tell what is new; one reading at a time."""
        self._reader.read()

    # --- time -------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._call_off_tick = self._timers(self.patience.tick, self._tick)
        now = self._clock()
        self._context.tell(self.translator.expire(now))
        self._look_up.tick(now)
        self._reader.tick(now)
        self._clock_keeper.tick(now)
