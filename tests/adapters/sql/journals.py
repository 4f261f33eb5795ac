"""Journals in memory: what a real engine made of a market and of a scripted exchange, as records of runs."""

from dataclasses import dataclass, field
from decimal import Decimal

import msgspec
from tests.core.engine.builders import (
    BTC,
    ETH,
    MS,
    SECOND,
    Eager,
    FakeExchange,
    a_print,
    a_snapshot,
    an_engine,
    an_instrument,
    live,
)

from stakan.adapters.journal.records import End, Header, Inbox, Market, Outcome
from stakan.adapters.sql.moments import moments
from stakan.adapters.sql.projection import Fold
from stakan.core.domain.events import (
    BestQuote,
    Flatten,
    FundingCharged,
    Halt,
    MarketEvent,
    PauseEntries,
    ReleaseHalt,
    Ticker,
)
from stakan.core.domain.facts import PositionTransitioned
from stakan.core.domain.ids import ExecutionId
from stakan.core.domain.orders import PositionStatus, Purpose

DAY_ONE = 1_700_000_030 * SECOND
"""Ten seconds before a minute ends, in November 2023."""


def a_header(**changes):
    values = {
        "stakan": "1",
        "account": "main",
        "run_epoch": "e",
        "config_hash": "h",
        "config": "text",
        "instruments": (an_instrument(), an_instrument(ETH, base="ETH")),
        "feature_set": "f",
        "mode": "paper",
    }
    return Header(**{**values, **changes})


@dataclass
class Run:
    records: list
    header: Header = field(default_factory=a_header)
    carries_on: bool = False


@dataclass
class ListTail:
    """A `JournalTail` over records in memory; `written` says how many of the last run's are there by now."""

    named: dict[str, Run]
    written: int | None = None

    def runs(self):
        return sorted(self.named)

    def header(self, run):
        return self.named[run].header

    def carries_on(self, run):
        return self.named[run].carries_on

    def after(self, run, number):
        return (record for record in self._there(run) if isinstance(record, End) or number_of(record) > number)

    def span(self, run):
        numbers = [number_of(record) for record in self._there(run)] or [0]
        return max(1, numbers[0]), numbers[-1]

    def _there(self, run):
        """Whole steps only, as the blocks of a journal hold them."""
        records = self.named[run].records
        if self.written is None or run != self.runs()[-1]:
            return records
        end = self.written
        while 0 < end < len(records) and number_of(records[end]) == number_of(records[end - 1]):
            end += 1
        return records[:end]


def number_of(record):
    return record.step.number if isinstance(record, Outcome) else record.number


def records_of(steps, *, ended=True):
    """What the journal holds of (event, step) pairs."""
    records = []
    for event, step in steps:
        kind = Market if isinstance(event, MarketEvent) else Inbox
        records.append(kind(step.number, event))
        if step.facts or step.commands:
            records.append(Outcome(step))
    if ended:
        records.append(End(steps[-1][1].number))
    return records


def at(event, ts):
    return msgspec.structs.replace(event, ts_event=ts, ts_recv=ts)


def entries_only(fills):
    """Exits are always filled: they are repeated until they are."""
    return lambda order: fills if order.purpose is Purpose.ENTRY else [(0, 1.0)]


PLANS = tuple(
    entries_only(fills)
    for fills in (
        [(0, 1.0)],
        [(0, 0.5), (3 * MS, 0.5)],
        [(0, 0.25)],
        [],
        [(2 * SECOND, 1.0)],
    )
)
"""How an exchange fills entries: at once, in parts, a part only, never, late."""


def a_market(length=40, start=DAY_ONE, keys=(BTC, ETH)):
    """Half a second between books; two instruments, moving up and down, with quotes and tickers."""
    events = []
    for number in range(length):
        ts = start + number * 500 * MS
        for offset, key in enumerate(keys):
            moment = ts + offset * MS
            mid = 640_000 + (number % 11 - 5) * 40
            events.append(at(a_snapshot(mid, sequence=number + 1, key=key), moment))
            quote = {"bid_price": mid - 1, "bid_size": 5, "ask_price": mid + 1, "ask_size": 7}
            events.append(a_print(mid, ts=moment + 2000, number=number, key=key))
            events.append(BestQuote(instrument=key, ts_event=moment, ts_recv=moment + 1000, sequence=number, **quote))
        if number % 5 == 0:
            moment = ts + 3 * MS
            events.append(Ticker(instrument=keys[0], ts_event=moment, ts_recv=moment, mark=Decimal("64000.5")))
    return events


def operator(kind, ts, **fields):
    return kind(ts_event=ts, ts_recv=ts, actor="olga", request_id=f"olga:{ts}", **fields)


def an_eager_engine(**changes):
    return an_engine(
        Eager(horizon_s=2.0),
        Eager(side=-1, strength=0.4),
        instruments=[an_instrument(), an_instrument(ETH, base="ETH")],
        cooldown_ns=SECOND,
        decision_interval_ns=SECOND // 2,
        **changes,
    )


def a_run(plan=PLANS[0], *, length=40, start=DAY_ONE, epoch="e", requests=True, ended=True, funding=True, **changes):
    """An eager engine that enters, is filled as planned, leaves by its horizon, and is interrupted by an operator."""
    engine = an_eager_engine(run_epoch=epoch, **changes)
    events = a_market(length, start)
    middle, end = start + length * 250 * MS, start + length * 500 * MS
    if requests:
        events += [
            operator(PauseEntries, middle),
            operator(Halt, middle + 2 * SECOND, why="a test"),
            operator(ReleaseHalt, middle + 3 * SECOND),
            operator(Flatten, end),
        ]
    if funding:
        events.append(
            FundingCharged(
                instrument=BTC,
                ts_event=middle - SECOND,
                ts_recv=middle - SECOND,
                execution_id=ExecutionId("f1"),
                position=2,
                rate=Decimal("0.0001"),
                mark=Decimal(64000),
                amount=Decimal("0.0128"),
            )
        )
    events.sort(key=lambda event: event.ts_recv)
    steps = live(engine, events, FakeExchange(plan))
    return engine, steps, Run(records_of(steps, ended=ended), a_header(run_epoch=epoch))


def folded(named, *, fold=None, per_moment=lambda fold: None):
    """Everything of some runs through one fold; returns it and the batch."""
    fold = fold or Fold()
    names = sorted(named)
    for name in names:
        run = named[name]
        fold.begin(name, run.header, carries_on=run.carries_on)
        for moment in moments(run.records):
            fold.take(moment)
            per_moment(fold)
    return fold


def unfinished_run(plan=PLANS[0], **changes):
    """A run that was killed while a position was open, right after it had been filled."""
    _, steps, run = a_run(plan, requests=False, **changes)
    live = {}
    for place, (_, step) in enumerate(steps):
        for fact in step.facts:
            if isinstance(fact, PositionTransitioned):
                live[fact.position] = fact.after
        if PositionStatus.OPEN in live.values() and place > 20:
            return Run(records_of(steps[: place + 1], ended=False), run.header)
    raise AssertionError("nothing was open")
