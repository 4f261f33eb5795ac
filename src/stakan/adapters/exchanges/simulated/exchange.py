"""The simulated exchange: the `Simulator` port over matching, account and latencies; deterministic."""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
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
    start_latency,
)
from stakan.adapters.exchanges.simulated.orders import Outbox
from stakan.core.domain.batch import MarketWindow
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder, VenueCommand
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import ProtectionRejected, VenueEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import SECOND


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
        self._entry = start_latency(config.entry_latency, 2 * config.seed)
        self._outbox = Outbox(start_latency(config.response_latency, 2 * config.seed + 1))
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
        self._inbound: deque[tuple[int, VenueCommand]] = deque()
        self._recent: deque[int] = deque()
        self._now = 0

    # --- the port ---------------------------------------------------------------------------------------------------

    def feed(self, window: MarketWindow) -> None:
        """Give it the market of the coming stretch; raises ConfigError for an instrument without rules."""
        for batch in window.batches:
            listing = self._listing(batch.instrument)
            if not listing.is_busy:
                listing.catch_up(self._now)
            listing.feed(batch)

    def advance(self, now: int) -> list[VenueEvent]:
        """Live on to `now`, or to the first instant that tells us something; empty where `now` is reached.

        Only the market of that instant has stopped there: others may have lived on to `now` or to the next command,
        so that what the bot answers *in another instrument* can meet a book that is up to one event of the feed newer.
        """
        inbound = self._inbound
        while True:
            arrival = inbound[0][0] if inbound and inbound[0][0] <= now else None
            self._live(now if arrival is None else arrival)
            if self._outbox.is_empty and arrival is not None:
                at, command = inbound.popleft()
                self._arrive(command, at)
            if not self._outbox.is_empty:
                news = self._outbox.drain()
                self._now = max(self._now, news[-1].ts_event)
                return news
            if arrival is None:
                self._now = max(self._now, now)
                return []

    def submit(self, command: VenueCommand, now: int) -> None:
        """Send a command at local time `now`; commands arrive in the order in which they were sent."""
        at = now + self._entry.next()
        if self._inbound:
            at = max(at, self._inbound[-1][0])
        self._inbound.append((max(at, self._now), command))

    # --- for a market that comes as it happens ----------------------------------------------------------------------

    @property
    def next_arrival(self) -> int:
        """When the next command reaches it; NEVER where none is on its way."""
        return self._inbound[0][0] if self._inbound else NEVER

    def is_busy(self, instrument: InstrumentId) -> bool:
        """Whether an order or a position of the owner's is in this instrument, so that its market cannot wait."""
        return self._listing(instrument).is_busy

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

    def _arrive(self, command: VenueCommand, at: int) -> None:
        listing = self._listing(command.order.instrument if isinstance(command, SubmitOrder) else command.instrument)
        if not listing.is_busy:
            listing.catch_up(at)
        why = self._refusal(at)
        if why:
            self._refuse(command, why, at)
            return
        match command:
            case SubmitOrder():
                listing.desk.submit(command.order, at)
            case CancelOrder():
                listing.desk.cancel(command, at)
            case AmendOrder():
                listing.desk.amend(command, at)
            case SetProtection():
                listing.protection.set(command, at)
            case _:
                assert_never(command)
        listing.refresh(at)
        self._note(listing)

    def _refusal(self, at: int) -> str:
        """Why the exchange does not even look at a command; empty where it does."""
        if any(start <= at < end for start, end in self._config.downtime):
            return "the exchange is down"
        limit = self._config.commands_per_second
        if limit is None:
            return ""
        while self._recent and self._recent[0] <= at - SECOND:
            self._recent.popleft()
        if len(self._recent) >= limit:
            return "10006 too many commands"
        self._recent.append(at)
        return ""

    def _refuse(self, command: VenueCommand, why: str, at: int) -> None:
        match command:
            case SubmitOrder():
                self._outbox.rejected(command.order, why, at)
            case CancelOrder() | AmendOrder():
                self._outbox.change_refused(command, why, at)
            case SetProtection():
                seen = self._outbox.seen(at)
                self._outbox.add(ProtectionRejected(ts_event=at, ts_recv=seen, instrument=command.instrument, why=why))
            case _:
                assert_never(command)

    def _note(self, listing: Listing) -> None:
        """Keep the list of markets that cannot wait, in the order in which instruments were given."""
        if listing.is_busy != (listing in self._busy):
            self._busy = [one for one in self._listings.values() if one.is_busy]

    def _listing(self, instrument: InstrumentId) -> Listing:
        found = self._listings.get(instrument)
        if found is None:
            raise ConfigError(f"the simulated exchange has no rules for {instrument}: name it in the instruments")
        return found
