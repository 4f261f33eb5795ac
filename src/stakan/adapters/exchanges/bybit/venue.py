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

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.account_reader import AccountReader
from stakan.adapters.exchanges.bybit.bodies import symbol_of
from stakan.adapters.exchanges.bybit.capabilities import Breakers
from stakan.adapters.exchanges.bybit.clock_keeper import ClockKeeper
from stakan.adapters.exchanges.bybit.context import HaltLatch, Patience, Ports, StreamState, VenueContext
from stakan.adapters.exchanges.bybit.entry_gate import EntryGate
from stakan.adapters.exchanges.bybit.flights import Flights
from stakan.adapters.exchanges.bybit.limits import RateLimiter
from stakan.adapters.exchanges.bybit.look_up import LookUp
from stakan.adapters.exchanges.bybit.messages import PrivateFrame, TradeFrame
from stakan.adapters.exchanges.bybit.order_gateway import OrderGateway
from stakan.adapters.exchanges.bybit.outcomes import Outcomes
from stakan.adapters.exchanges.bybit.private import Translator
from stakan.adapters.exchanges.bybit.rest import Line, Procedure, Sender, ServerClock
from stakan.core.domain.commands import VenueCommand
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.portfolio.orders import Order


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
        context = self._context = VenueContext(
            ports=ports,
            patience=self.patience,
            limiter=self.limiter,
            server_clock=self.server_clock,
            line=self.line,
            translator=self.translator,
            latch=self.latch,
        )
        self._rules = dict(instruments)
        self._clock, self._timers = ports.clock, ports.timers
        self._gate = EntryGate(self.latch, self.stream, ports.clock)
        self._clock_keeper = ClockKeeper(context)
        flights = Flights(context)
        self._look_up = LookUp(context, self.stream, self._gate, flights, self._rules)
        self._reader = AccountReader(context, self.stream, self._look_up, self._rules, venue)
        outcomes = Outcomes(
            context,
            self._gate,
            flights,
            self._look_up,
            self._clock_keeper,
            read_account=self._reader.read,
            session=session or f"{ports.clock():x}",
        )
        self._router = outcomes.router
        self._gateway = OrderGateway(context, self._gate, flights, self._router, self._rules)
        self._is_isolated = False
        self._call_off_tick: Callable[[], None] | None = None

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
    def trade(self) -> Sender | None:
        """The trade socket while it is logged in."""
        return self._router.trade

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

    # --- orders -----------------------------------------------------------------------------------------------------

    def send(self, command: VenueCommand) -> None:
        """Send a command; never waits and never raises for what the exchange may say."""
        self._gateway.send(command)

    def on_trade_up(self, trade: Sender) -> None:
        """The trade socket is logged in."""
        self._router.trade = trade

    def on_trade_down(self, why: str) -> None:
        """The trade socket is gone."""
        self._router.on_down(why)

    def on_trade_answer(self, frame: TradeFrame) -> None:
        """An answer on the trade socket."""
        self._router.on_answer(frame)

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
