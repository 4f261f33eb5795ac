"""The simulated exchange: the `Simulator` port over matching, account and latencies; deterministic."""

from bisect import insort
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from operator import itemgetter
from typing import assert_never

import msgspec

from stakan.adapters.exchanges.simulated.account import Account
from stakan.adapters.exchanges.simulated.listing import Listing
from stakan.adapters.exchanges.simulated.matching import NEVER
from stakan.adapters.exchanges.simulated.models import (
    ConstantLatency,
    FeeRates,
    Latency,
    QueueModel,
    start_transit,
)
from stakan.adapters.exchanges.simulated.money import change_margin, set_leverage
from stakan.adapters.exchanges.simulated.orders import Execution, LiveOrder, Outbox
from stakan.adapters.exchanges.simulated.refusals import Refused
from stakan.adapters.exchanges.simulated.requests import (
    ChangeMargin,
    ChangeOrder,
    Legs,
    PlaceOrder,
    Request,
    SetLeverage,
    SetTradingStop,
    instrument_of,
)
from stakan.adapters.exchanges.simulated.state import OwnerState, decode, encode, is_alive, restore_listing, state_of
from stakan.adapters.exchanges.simulated.views import PositionView, WalletView, unrealised, view
from stakan.core.domain.batch import MarketBatch, MarketWindow
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder, VenueCommand
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.events import VenueEvent
from stakan.core.domain.ids import ClientOrderId, ExecutionId, InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND
from stakan.core.portfolio.money import ZERO


class SimulationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is assumed about the exchange and the way to it; docs/simulation.md says what each assumption costs."""

    starting_balance: Decimal = Decimal(10_000)
    """Settlement currency."""
    leverage: Decimal = Decimal(10)
    queue: QueueModel = QueueModel()
    entry_latency: Latency = ConstantLatency()
    """From the bot to the matching engine."""
    response_latency: Latency = ConstantLatency()
    """From the matching engine to the bot."""
    fees: FeeRates | None = None
    """One tier for all instruments; None takes each instrument's own."""
    funding_rate: Decimal = Decimal("0.0001")
    """Where the recording has none; per funding interval."""
    seed: int = 0
    """Of drawn latencies."""
    commands_per_second: int | None = None
    """More than so many commands in any second are refused."""
    downtime: tuple[tuple[int, int], ...] = ()
    """Stretches (from, to), nanoseconds UTC, in which commands are refused."""

    def __post_init__(self) -> None:
        if self.leverage < 1:
            raise ConfigError(f"leverage must be at least 1, got {self.leverage}")
        if self.starting_balance <= 0:
            raise ConfigError(f"starting_balance must be above 0, got {self.starting_balance}")
        if self.commands_per_second is not None and self.commands_per_second < 1:
            raise ConfigError(f"commands_per_second must be at least 1, got {self.commands_per_second}")


class SimulatedExchange:
    """One owner at an exchange in virtual time.

    Everything happens in order of exchange time; at one instant the market first (instruments in the order in which
    they were given), then funding, then commands in the order in which they were sent.
    """

    def __init__(self, instruments: Mapping[InstrumentId, Instrument], config: SimulationConfig) -> None:
        self.account = Account(config.starting_balance, config.leverage)
        self._config = config
        self._entry = start_transit(config.entry_latency, 2 * config.seed)
        self._outbox = Outbox(start_transit(config.response_latency, 2 * config.seed + 1))
        self._listings = {
            rules.id: Listing(
                rules,
                config.queue,
                config.fees,
                config.funding_rate,
                self.account,
                self._outbox,
            )
            for rules in instruments.values()
        }
        self._busy: list[Listing] = []
        self._inbound: list[tuple[int, VenueCommand]] = []
        self._recent: deque[int] = deque()
        self._now = 0
        self._told = 0

    # --- the port ---------------------------------------------------------------------------------------------------

    def feed(self, window: MarketWindow) -> None:
        """Give it the market of the coming stretch; raises ConfigError for an instrument without rules."""
        for batch in window.batches:
            self.feed_batch(batch)

    def feed_batch(self, batch: MarketBatch) -> None:
        """The same for one instrument."""
        listing = self._listing(batch.instrument)
        self._catch_up(listing)
        listing.feed(batch)

    def advance(self, now: int) -> list[VenueEvent]:
        """Live on to `now`, or to the first instant that tells us something; empty where `now` is reached.

        Only the market of that instant has stopped there: others may have lived on to `now` or to the next command,
        so that what the bot answers *in another instrument* can meet a book that is up to one event of the feed newer.
        """
        if self._outbox.executions:
            self._outbox.executions = {}
        return self._advance(now)

    def submit(self, command: VenueCommand, now: int) -> None:
        """Send a command at local time `now`.

        Where latencies are models, commands arrive in the order in which they were sent. One that arrives before what
        has happened (a row of its market that was lived through, an event that was told) arrives then.
        """
        self._outbox.hear(now)
        at = self._entry.arrival(type(command).__name__, _about(command), now)
        insort(self._inbound, (at, command), key=itemgetter(0))

    # --- for a market that comes as it happens ----------------------------------------------------------------------

    @property
    def next_arrival(self) -> int:
        """When the next command reaches it; NEVER where none is on its way."""
        return self._inbound[0][0] if self._inbound else NEVER

    # --- for an owner without a way in between --------------------------------------------------------------------

    def apply(self, request: Request, at: int) -> list[VenueEvent]:
        """Carry out a request at exchange time `at`, whatever the latencies; the market of that instant comes first.

        Returns everything that happened up to then and what the request brought about, in order. `refused` says
        why it came to nothing, where it did. A time before what has happened counts as that.
        """
        self._outbox.refused = None
        events = self.live_to(at)
        self._arrive(request, at)
        news = self._outbox.drain()
        if news:
            self._told = news[-1].ts_event
        return events + news

    def live_to(self, at: int) -> list[VenueEvent]:
        """Live on to `at` without stopping; returns everything that happened on the way."""
        self._outbox.executions = {}
        events: list[VenueEvent] = []
        while news := self._advance(at):
            events += news
        return events

    @property
    def refused(self) -> Refused | None:
        """Why the last applied request was refused; None where it was not."""
        return self._outbox.refused

    @property
    def executions(self) -> Mapping[ExecutionId, Execution]:
        """Details of the fills that the last `apply`, `live_to` or `advance` returned."""
        return self._outbox.executions

    def orders(self, instrument: InstrumentId) -> tuple[LiveOrder, ...]:
        """Live orders, in order of entry; to be read, not to be changed."""
        return tuple(self._listing(instrument).desk.orders.values())

    def order(self, instrument: InstrumentId, client_order_id: ClientOrderId) -> LiveOrder | None:
        """A live order; None where there is none of this id (any more)."""
        return self._listing(instrument).desk.find(client_order_id)

    def position(self, instrument: InstrumentId) -> PositionView:
        """A position with its margin, and the prices of now."""
        listing = self._listing(instrument)
        self._catch_up(listing)
        return view(listing.desk)

    def wallet(self) -> WalletView:
        """All money."""
        account = self.account
        position_margin, order_margin = account.bound
        return WalletView(
            balance=account.wallet,
            position_margin=position_margin,
            order_margin=order_margin,
            unrealised=sum((unrealised(listing.desk) for listing in self._busy), ZERO),
            realised=account.realised,
            fees=account.fees,
            funding=account.funding,
        )

    def is_busy(self, instrument: InstrumentId) -> bool:
        """Whether an order or a position of the owner's is in this instrument, so that its market cannot wait.

        While there is none, its market need not be fed: one batch that begins with a snapshot brings it up to date.
        """
        return self._listing(instrument).is_busy

    # --- state ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Money, positions, live orders, commands on their way, ids: all that the owner is, and the last prices."""
        account, outbox = self.account, self._outbox
        for listing in self._listings.values():
            self._catch_up(listing)
        state = OwnerState(
            now=self._now,
            told=self._told,
            heard=outbox.heard,
            keys=outbox.keys,
            executions=outbox.execution_count,
            wallet=account.wallet,
            realised=account.realised,
            fees=account.fees,
            funding=account.funding,
            order_keys=account.order_keys,
            leverages=account.leverages,
            inbound=self._inbound,
            recent=list(self._recent),
            listings={name: state_of(listing) for name, listing in self._listings.items()},
        )
        return encode(state)

    def restore(self, data: bytes) -> None:
        """Be the owner that `snapshot` kept; for an exchange that was just made, with the same instruments.

        Resting orders have lost their place: they stand behind everything at their price as soon as there is a book.
        Latency models begin anew. Raises DataError for other bytes, for an unknown instrument in which something
        lives, and for one whose tick or lot size is another.
        """
        state = decode(data)
        missing = [name for name, one in state.listings.items() if name not in self._listings and is_alive(one)]
        if missing or self._now or self.account.order_keys:
            raise DataError(f"cannot restore here: {', '.join(missing) or 'this exchange has lived already'}")
        account, outbox = self.account, self._outbox
        self._now, self._told, outbox.heard = state.now, state.told, state.heard
        outbox.keys, outbox.execution_count = state.keys, state.executions
        account.wallet, account.realised = state.wallet, state.realised
        account.fees, account.funding = state.fees, state.funding
        account.order_keys.update(state.order_keys)
        account.leverages.update(state.leverages)
        self._inbound[:] = state.inbound
        self._recent.extend(state.recent)
        for name, one in state.listings.items():
            if name in self._listings:
                restore_listing(self._listings[name], one, self._now)
                self._note(self._listings[name])

    # --- for reports ------------------------------------------------------------------------------------------------

    @property
    def uses_mid_as_mark(self) -> frozenset[InstrumentId]:
        """Instruments whose recording has no mark, so that the mid stood in for it somewhere."""
        return frozenset(name for name, listing in self._listings.items() if listing.reference.mid_was_used)

    @property
    def book_gaps(self) -> int:
        """Interruptions of the recording, in all instruments, in what was lived through so far."""
        return sum(listing.matching.gaps for listing in self._listings.values())

    # --- inside -----------------------------------------------------------------------------------------------------

    def _live(self, until: int) -> None:
        """Let the markets in which we have something live on in order of time, until something is to be told."""
        while self._busy and self._outbox.is_empty:
            first, at = None, NEVER
            for listing in self._busy:
                due = listing.run(until)
                if due < at:
                    first, at = listing, due
            if first is None:
                return
            first.handle()
            self._note(first)

    def _advance(self, now: int) -> list[VenueEvent]:
        inbound = self._inbound
        while True:
            arrival = inbound[0][0] if inbound and inbound[0][0] <= now else None
            self._live(now if arrival is None else arrival)
            if self._outbox.is_empty and arrival is not None:
                at, command = inbound.pop(0)
                self._arrive(command, at)
            if not self._outbox.is_empty:
                news = self._outbox.drain()
                self._told = news[-1].ts_event
                self._now = max(self._now, self._told)
                return news
            if arrival is None:
                self._now = max(self._now, now)
                return []

    def _arrive(self, request: Request, at: int) -> None:
        listing = self._listing(instrument_of(request))
        if not listing.is_busy:
            listing.catch_up(at)
        at = max(at, self._told, listing.matching.now)
        try:
            self._check_open(at)
            self._carry_out(listing, request, at)
        except Refused as refused:
            self._outbox.refuse(request, refused, at)
        listing.refresh(at)
        self._note(listing)

    @staticmethod
    def _carry_out(listing: Listing, request: Request, at: int) -> None:
        match request:
            case SubmitOrder():
                listing.desk.submit(request.order, Legs.of(request.order), at)
            case PlaceOrder():
                listing.desk.submit(request.order, request.legs, at)
            case CancelOrder():
                listing.desk.cancel(request, at)
            case AmendOrder() | ChangeOrder():
                listing.desk.amend(request, at)
            case SetProtection() | SetTradingStop():
                listing.protection.change(request, at)
            case SetLeverage():
                set_leverage(listing.desk, request, at)
            case ChangeMargin():
                change_margin(listing.desk, request)
            case _:
                assert_never(request)

    def _check_open(self, at: int) -> None:
        """Whether the exchange looks at a command at all; raises Refused."""
        if any(start <= at < end for start, end in self._config.downtime):
            raise Refused(10016, "the exchange is down")
        limit = self._config.commands_per_second
        if limit is None:
            return
        while self._recent and self._recent[0] <= at - SECOND:
            self._recent.popleft()
        if len(self._recent) >= limit:
            raise Refused(10006, "too many commands")
        self._recent.append(at)

    def _catch_up(self, listing: Listing) -> None:
        """Let a market that waited live on to now; nothing can happen to the owner there."""
        if not listing.is_busy:
            listing.catch_up(self._now)

    def _note(self, listing: Listing) -> None:
        """Keep the list of markets that cannot wait, in the order in which instruments were given."""
        if listing.is_busy != (listing in self._busy):
            self._busy = [one for one in self._listings.values() if one.is_busy]

    def _listing(self, instrument: InstrumentId) -> Listing:
        found = self._listings.get(instrument)
        if found is None:
            raise ConfigError(f"the simulated exchange has no rules for {instrument}: name it in the instruments")
        return found


def _about(command: VenueCommand) -> str:
    """What recorded arrivals know a command by."""
    match command:
        case SubmitOrder():
            return command.order.client_order_id
        case CancelOrder() | AmendOrder():
            return command.client_order_id
        case SetProtection():
            return command.instrument
        case _:
            assert_never(command)
