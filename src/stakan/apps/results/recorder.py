"""Folds the steps of a run into a result, in memory that grows with trades and not with market data."""

from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from stakan.apps.results.execution import ExecutionRecord
from stakan.apps.results.model import FindingRow, SignalRow, StateRow
from stakan.apps.results.series import EquitySeries, MidSeries
from stakan.core.domain import facts as f
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import AnyEvent, FeedDown
from stakan.core.domain.findings import Finding
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import PositionStatus
from stakan.core.domain.reasons import Reason
from stakan.core.domain.step import Step
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import MILLISECOND, Nanos, Side

MID_INTERVAL = Nanos(100 * MILLISECOND)
MAX_SIGNALS = MAX_FINDINGS = 20_000
"""Kept as rows; the rest is counted."""
_MARKET_FACTS: dict[type, str] = {
    f.BookGap: "gaps",
    f.BookCrossed: "crossings",
    f.BookCorrupt: "corrupt",
    f.BookRecovered: "recoveries",
    f.LatePrint: "late_prints",
}


class RefusalKey(NamedTuple):
    """What refusals are counted by."""

    stage: str
    reason: Reason


class RunRecorder:
    """Sees every event with its step, and mids now and then; `assemble` makes the result of it.

    The driver calls `observe_mid` before `observe`, for valid books only, at most every `MID_INTERVAL` or so.
    """

    def __init__(self, instruments: Mapping[InstrumentId, Instrument], initial: Decimal, start_ts: int) -> None:
        self.instruments = instruments
        self.initial = initial
        self.start_ts = start_ts
        self.end_ts = start_ts
        self.events = 0
        self.equity = EquitySeries(start_ts, initial)
        self.mids: dict[InstrumentId, MidSeries] = {i: MidSeries(MID_INTERVAL) for i in instruments}
        self.executions = ExecutionRecord(instruments)
        self.signals: list[SignalRow] = []
        self.signal_count = 0
        self.findings: list[FindingRow] = []
        self.weakened = 0
        self.refusals: Counter[RefusalKey] = Counter()
        self.refusal_examples: dict[RefusalKey, str] = {}
        self.health: Counter[tuple[InstrumentId, str]] = Counter()
        self.counts: Counter[type] = Counter()
        self.states: list[StateRow] = []
        self.open_since: dict[str, int] = {}
        executions = self.executions
        # Whatever is not named is counted only.
        self._takers: dict[type, Callable[[Any, int], None]] = {
            f.EquityMarked: self._equity,
            f.FindingMade: lambda fact, ts: self._finding(fact.finding, ts),
            f.SignalProposed: lambda fact, ts: self._signal(fact.signal, ts),
            f.SignalRefused: lambda fact, _: self._refusal("decision", fact.reason, fact.detail),
            f.IntentRefused: lambda fact, _: self._refusal(fact.rule, fact.reason, fact.detail),
            f.IntentApproved: lambda fact, _: executions.approved(fact),
            f.EntryFeatures: lambda fact, _: executions.saw(fact),
            f.TradingStateChanged: self._state,
            f.OrderTransitioned: lambda fact, _: executions.transitioned(fact),
            f.FillBooked: executions.filled,
            f.FundingBooked: lambda fact, _: executions.funded(fact),
            f.PositionTransitioned: self._position,
            f.PositionClosed: lambda fact, _: executions.closed(fact),
        }

    def observe_mid(self, instrument: InstrumentId, ts: int, mid_ticks: float) -> None:
        """The mid of a valid book at `ts` (receive time), in ticks."""
        mid = float(mid_ticks)
        self.executions.mark(instrument, ts, mid)
        self.mids[instrument].add(ts, mid)

    def observe(self, event: AnyEvent, step: Step) -> None:
        """Take an event and what the engine made of it."""
        self.events += 1
        self.end_ts = step.ts
        if type(event) is FeedDown:
            self.health[event.instrument, "feed_downs"] += 1
        for fact in step.facts:
            self._take(fact, step.ts)
        for command in step.commands:
            if type(command) is SubmitOrder:
                self.executions.sent(command.order, step.ts)

    def _take(self, fact: f.AnyFact, ts: int) -> None:
        kind = type(fact)
        self.counts[kind] += 1
        if kind in _MARKET_FACTS:
            assert isinstance(fact, f.BookGap | f.BookCrossed | f.BookCorrupt | f.BookRecovered | f.LatePrint)
            self.health[fact.instrument, _MARKET_FACTS[kind]] += 1
            return
        if (take := self._takers.get(kind)) is not None:
            take(fact, ts)

    def _equity(self, fact: f.EquityMarked, ts: int) -> None:
        self.equity.add(ts, fact.balance + fact.unrealised_pnl, fact.exposure)

    def _state(self, fact: f.TradingStateChanged, ts: int) -> None:
        self.states.append(StateRow(ts=ts, state=fact.state, reason=fact.reason, detail=fact.detail))

    def _signal(self, signal: Signal, ts: int) -> None:
        self.signal_count += 1
        self.weakened += signal.doubt > 0
        if len(self.signals) >= MAX_SIGNALS:
            return
        rules = self.instruments[signal.instrument]
        row = SignalRow(
            ts=ts,
            instrument=signal.instrument,
            strategy=signal.strategy,
            side="buy" if signal.side is Side.BUY else "sell",
            strength=signal.strength,
            entry=rules.price(signal.entry),
            stop_loss=rules.price(signal.stop_loss),
            reasons=signal.reasons,
        )
        self.signals.append(row)

    def _finding(self, finding: Finding, ts: int) -> None:
        if len(self.findings) >= MAX_FINDINGS:
            return
        rules = self.instruments[finding.instrument]
        row = FindingRow(
            ts=ts,
            ts_event=finding.ts_event,
            began_ts=finding.began,
            instrument=finding.instrument,
            detector=finding.detector,
            pattern=finding.pattern.value,
            stage=finding.stage.value,
            episode=finding.episode,
            side=finding.side.name.lower() if finding.side is not None else "",
            low=rules.price(finding.low) if finding.low is not None else None,
            high=rules.price(finding.high) if finding.high is not None else None,
            size=rules.size(finding.size),
            count=finding.count,
            confidence=finding.confidence,
            evidence=finding.evidence,
        )
        self.findings.append(row)

    def _refusal(self, stage: str, reason: Reason, detail: str) -> None:
        key = RefusalKey(stage, reason)
        self.refusals[key] += 1
        self.refusal_examples.setdefault(key, detail)

    def _position(self, fact: f.PositionTransitioned, ts: int) -> None:
        if fact.after is PositionStatus.OPEN:
            self.open_since.setdefault(fact.position, ts)
        elif fact.after is PositionStatus.CLOSED:
            self.open_since.pop(fact.position, None)
