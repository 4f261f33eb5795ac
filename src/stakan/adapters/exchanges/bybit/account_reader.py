"""The account as a whole: what its private stream tells, and readings over REST that close the stream's gaps."""

from collections.abc import Mapping

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.bodies import symbol_of
from stakan.adapters.exchanges.bybit.capabilities import Capability
from stakan.adapters.exchanges.bybit.context import StreamState, VenueContext
from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.flights import Flight
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.look_up import LookUp
from stakan.adapters.exchanges.bybit.messages import PrivateFrame
from stakan.adapters.exchanges.bybit.reading import Reading
from stakan.adapters.exchanges.bybit.rest import Procedure
from stakan.core.domain.errors import DataError, VenueError
from stakan.core.domain.events import AccountUnread
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import OrderStatus
from stakan.core.domain.units import MILLISECOND, SECOND
from stakan.core.portfolio.orders import Order

_LOOK_BACK = 60 * SECOND // MILLISECOND


class AccountReader:
    """Tells what is new in the account: at once by the stream, by readings after its gaps and every minute."""

    def __init__(
        self,
        context: VenueContext,
        stream: StreamState,
        look_up: LookUp,
        rules: Mapping[InstrumentId, Instrument],
        venue: str,
    ) -> None:
        self.read_ts = 0
        """When the account was last read without an error; 0 before the first time."""
        self._context = context
        self._clock, self._patience = context.ports.clock, context.patience
        self._translator = context.translator
        self._stream = stream
        self._look_up = look_up
        self._rules = rules
        self._venue = venue
        self._adopted: list[Flight] = []
        """Orders of the run before that the exchange has not been asked about yet."""
        self._started = context.server_clock.millis()
        self._is_reading = False
        self._reads_again = False
        self._read_at = 0
        self._read_up_to = 0
        """Milliseconds of the exchange's clock up to which all executions were read; 0 before the first reading."""

    def start(self) -> None:
        """The exchange's clock was read: executions from now on are ours to read."""
        self._started = min(self._started, self._context.server_clock.millis())
        if not self._stream.is_streaming:
            self._stream.blind_since = self._clock()

    def resume(self, since_millis: int) -> None:
        """Executions from this moment on are to be read at the first look, e.g. the last one that a journal knows."""
        self._started = min(self._started, since_millis)

    def adopt(self, order: Order) -> None:
        """An order of the run before this one that may still live: never sent again.

        The first reading of the account tells of those that rest; the others are looked up then.
        """
        request = order.request
        if request.instrument not in self._rules:
            raise DataError(f"{request.client_order_id} is of {request.instrument}, which is not known")
        self._translator.expect(request)
        flight = Flight(
            kind=Kind.CREATE,
            instrument=request.instrument,
            group=Group.CREATE,
            path="/v5/order/create",
            body=b"",
            client=request.client_order_id,
            order=request,
            began=order.submitted_ts,
            # The clock may have been set meanwhile: absence is proven from now on.
            sent=self._clock(),
            was_placed=order.status is not OrderStatus.PENDING,
        )
        self._adopted.append(flight)
        if self._stream.is_caught_up:
            self.read()

    # --- the private stream -----------------------------------------------------------------------------------------

    def on_up(self) -> None:
        """The private topics are subscribed to; there is no replay, so the account is read."""
        self._stream.is_streaming = True
        self._stream.is_caught_up = False
        self.read()

    def on_down(self, why: str) -> None:
        """The private stream is gone: the account is polled, and soon nothing new opened, until it is back."""
        now = self._clock()
        if self._stream.blind_since is None:
            self._stream.blind_since = now
        if self._stream.is_streaming:
            self._context.ports.deliver(AccountUnread(ts_event=now, ts_recv=now, why=f"private stream: {why}"))
        self._stream.is_streaming = False
        self._stream.is_caught_up = False
        self._context.ports.note(f"private stream: {why}: polling")

    def on_frame(self, frame: PrivateFrame, ts_recv: int) -> None:
        """A message of a private topic. One that cannot be read means that our state is unknown: it is read anew."""
        try:
            events = self._translator.frame(frame, ts_recv)
        except DataError as error:
            self._context.ports.note(f"private stream: {error}")
            self._context.tell(self._translator.expire(ts_recv))
            self.read()
            return
        self._context.tell(events)

    # --- readings ---------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read executions, open orders, positions and wallet, and tell what is new; one reading at a time."""
        if self._is_reading:
            self._reads_again = True
            return
        self._is_reading = True
        self._context.line.run(self._reading(), self._was_read, self._was_not_read)

    def read_again(self) -> None:
        """The engine could not agree with the last reading: another one, soon."""
        self._context.ports.timers(self._patience.again, self.read)

    def tick(self, now: int) -> None:
        """Read where it is due, and where the exchange answers such questions."""
        is_due = now - self._read_at >= (self._patience.sweep if self._stream.is_complete else self._patience.poll)
        if is_due and not self._is_reading and self._context.line.breakers[Capability.QUERIES].allow(now):
            self.read()

    def _reading(self) -> Procedure[None]:
        """Raises VenueError and DataError."""
        asked = self._context.server_clock.past_millis()
        reading = Reading(self._rules, self._venue, self._clock(), asked)
        known, tell = self._translator, self._context.tell
        # Not from the newest execution that was told: the stream tells of new ones while older ones are still unread.
        since = self._read_up_to - _LOOK_BACK if self._read_up_to else self._started
        expected = known.open_orders()
        tell(known.executions((yield from inquiry.executions_since(since)), self._clock()))
        rows = yield from inquiry.open_orders()
        reading.orders(rows)
        tell(known.orders(rows, self._clock()))
        found = {row.order_link_id for row in rows}
        for instrument, client in expected:
            if client not in found and not known.is_over(client):
                self._look_up.take((yield from inquiry.find_order(symbol_of(instrument), client)))
        held = [symbol_of(key) for key, holding in known.holdings.items() if holding.lots or known.protection(key)[0]]
        positions = yield from inquiry.positions(held)
        reading.positions(positions)
        tell(known.positions(positions, self._clock(), asked))
        wallets = yield from inquiry.wallet()
        reading.wallet(wallets)
        known.wallet(wallets)
        self._read_up_to = asked
        if known.waits_for_owners:
            # The account holds what nobody was told of yet: compared now, it would be booked twice.
            self.read_again()
        else:
            self._context.ports.deliver(reading.event(self._clock, is_streaming=self._stream.is_streaming))

    def _was_read(self, _: None) -> None:
        self._is_reading = False
        self.read_ts = self._read_at = self._clock()
        adopted, self._adopted = self._adopted, []
        for flight in adopted:
            if not self._translator.is_seen(flight.client):
                self._look_up.begin(flight)
        if self._reads_again:
            self._reads_again = False
            self.read()
        else:
            self._stream.is_caught_up = True
            if self._stream.is_streaming:
                self._stream.blind_since = None

    def _was_not_read(self, error: Exception) -> None:
        self._is_reading = False
        # Whoever asked for it waits: again at the pace of polling, however well all else is.
        self._read_at = self._clock() - self._patience.sweep + self._patience.poll
        self._context.ports.note(f"account could not be read: {error}")
        if not isinstance(error, VenueError):
            self._context.latch.halt(f"the account cannot be read: {error}")
