"""One instrument at the simulated exchange: its market, its prices, and one owner's orders and position in it."""

from decimal import Decimal

from stakan.adapters.exchanges.simulated.account import Account
from stakan.adapters.exchanges.simulated.desk import Desk
from stakan.adapters.exchanges.simulated.matching import FILLED, HAS_OTHER, NEVER, WATCHED, Matching
from stakan.adapters.exchanges.simulated.models import FeeRates, QueueModel, instrument_fees
from stakan.adapters.exchanges.simulated.orders import Outbox
from stakan.adapters.exchanges.simulated.protection import Protection
from stakan.adapters.exchanges.simulated.reference import Reference
from stakan.core.domain.batch import MarketBatch
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import FeedDown, FundingCharged, InstrumentChanged, Ticker
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Lots
from stakan.core.portfolio.money import ZERO


class Listing:
    """Lives through its market and stops wherever something happens to the owner."""

    def __init__(
        self,
        rules: Instrument,
        queue: QueueModel,
        fees: FeeRates | None,
        funding_rate: Decimal,
        account: Account,
        outbox: Outbox,
    ) -> None:
        self.rules = rules
        self.matching = Matching(rules, queue)
        self.reference = Reference(rules, self.matching, funding_rate)
        self._fees = fees
        self.desk = Desk(rules, fees or instrument_fees(rules), self.matching, self.reference, account, outbox)
        self.protection = Protection(self.desk)
        self._account = account
        self._outbox = outbox
        self._bits = 0
        self.funding_ts = NEVER
        """When the next funding of an open position is due."""
        self._position = self.desk.position

    @property
    def is_busy(self) -> bool:
        """Whether anything of the owner's is here; else its market may wait."""
        return bool(self.desk.orders or self._position.lots)

    def run(self, until: int) -> int:
        """Live on up to `until`; returns the time at which `handle` has something to do, NEVER where there is nothing."""
        if self._bits:
            return self.matching.now
        limit = min(until, self.funding_ts)
        if self.matching.next_ts <= limit:
            self._bits = self.matching.advance(limit)
            if self._bits:
                return self.matching.now
        return self.funding_ts if self.funding_ts <= until else NEVER

    def handle(self) -> None:
        """Do what `run` stopped at."""
        bits, self._bits = self._bits, 0
        if not bits:
            self._fund(self.funding_ts)
            return
        ts = self.matching.now
        if bits & HAS_OTHER:
            self._take_over(ts)
        if bits & FILLED:
            self.desk.maker_fills(self.matching.fills(), ts)
        if bits & (WATCHED | FILLED | HAS_OTHER):
            self.refresh(ts)

    def refresh(self, ts: int) -> None:
        """After anything that changed orders, position or prices: triggers, what to watch for, next funding."""
        if self.is_busy:
            self.protection.check(ts)
        else:
            self.protection.forget()
            self.matching.watch_last(-NEVER, NEVER)
            self.matching.watch_mid(-NEVER, NEVER)
        if not (self._position.lots and self.rules.is_linear):
            self.funding_ts = NEVER
        elif self.funding_ts == NEVER:
            self.funding_ts = self.reference.next_funding(ts)

    def catch_up(self, until: int) -> None:
        """Bring a market that waited up to date."""
        while self.run(until) != NEVER:
            self.handle()

    def feed(self, batch: MarketBatch) -> None:
        """Rows to come."""
        self.matching.feed(batch)

    def _take_over(self, ts: int) -> None:
        """What a recording says beside book and prints."""
        match self.matching.other():
            case Ticker() as ticker:
                if self.funding_ts <= ts:
                    self._fund(self.funding_ts)
                self.reference.update(ticker)
                if self.funding_ts != NEVER:
                    self.funding_ts = self.reference.next_funding(ts)
            case FeedDown():
                self.matching.forget_book()
            case InstrumentChanged(rules=rules):
                self._change_rules(rules)
            case _:  # candles repeat what prints say
                return

    def _change_rules(self, rules: Instrument) -> None:
        """New rules; raises DataError where prices or sizes of what lives here would change their meaning."""
        if (rules.tick_size, rules.lot_size) != (self.rules.tick_size, self.rules.lot_size):
            if self.is_busy:
                raise DataError(f"{rules.id}: tick or lot size changes under orders or a position of ours")
            self.matching.forget_book()
        self.rules = self.desk.rules = self.reference.rules = self.protection.rules = rules
        self.desk.fees = self._fees or instrument_fees(rules)
        self._account.bind(rules, self.desk.terms)

    def _fund(self, ts: int) -> None:
        """Settle funding of the position that is open at this instant: long pays short when the rate is positive."""
        mark = self.reference.mark
        rate, lots = self.reference.funding_rate, self._position.lots
        self.funding_ts = self.reference.next_funding(ts)
        if mark is None or not lots:
            return
        amount = self.rules.value_at(mark, lots) * rate
        self._account.charge_funding(self.rules.id, amount)
        self._outbox.add(
            FundingCharged(
                ts_event=ts,
                ts_recv=self._outbox.seen(FundingCharged, self.rules.id, ts),
                instrument=self.rules.id,
                execution_id=self._outbox.next_execution(),
                position=Lots(lots),
                rate=rate,
                mark=mark,
                amount=amount + ZERO,
            )
        )
