"""The projection: a pure fold from what a journal records to rows. The same journal gives the same rows."""

from collections.abc import Callable
from typing import Any

from stakan.adapters.journal.records import Header
from stakan.adapters.sql.batch import Batch
from stakan.adapters.sql.folding import account, decisions, findings, market, orders, positions
from stakan.adapters.sql.folding.draft import ENGINE, Draft, builtins, plain
from stakan.adapters.sql.folding.state import AccountMemory, ProjectionState, fresh_traces
from stakan.adapters.sql.moments import Moment
from stakan.adapters.sql.tables import runs
from stakan.core.domain import events as e
from stakan.core.domain import facts as f


class Fold:
    """Folds moments into `batch`; `state` is all that it remembers, so it can go on from a state that was kept."""

    def __init__(self, state: ProjectionState | None = None) -> None:
        self.state = state if state is not None else ProjectionState()
        self.batch = Batch()
        self._draft = Draft(self.state, self.batch)

    def take_batch(self) -> Batch:
        """What has come together since the last call."""
        batch, self.batch = self.batch, Batch()
        self._draft.batch = self.batch
        return batch

    def begin(self, run: str, header: Header, *, carries_on: bool) -> None:
        """Turn to the next run."""
        state, draft = self.state, self._draft
        if carries_on:
            account.carry_on(draft)
            _carry_traces(state, run)
        else:
            orders.give_up(draft)
            positions.give_up(draft)
            state.account = AccountMemory()
            state.traces = fresh_traces(run)
        state.run, state.number, state.is_complete = run, 0, False
        state.account.name = header.account
        state.samples.clear()
        state.leaned_on.clear()
        if not carries_on:
            state.findings.clear()
        state.new_rules.clear()
        for rules in header.instruments:
            market.take_rules(draft, rules)
        names = ("mode", "account", "run_epoch", "stakan", "config_hash", "config", "feature_set", "is_synthetic")
        values = {name: getattr(header, name) for name in names}
        empty = {"first_number": None, "first_ts": None, "last_number": None, "is_complete": False}
        self.batch.insert(runs, {"name": run, "carries_on": carries_on, **values, **empty})

    def take(self, moment: Moment) -> None:
        """Fold one moment; raises DataError where the journal does not hold what its rows need."""
        if moment.is_end:
            self._end(moment)
            return
        state, draft = self.state, self._draft
        is_first = state.number == 0
        draft.begin(moment)
        if is_first:
            draft.change(runs, (state.run,), first_number=moment.number, first_ts=draft.ts)
        if moment.event is not None:
            _take_event(draft, moment.event)
        for fact in draft.facts:
            _take_fact(draft, fact)
        if draft.facts:
            positions.take_over(draft)
            positions.forget_closed(draft)
        if state.new_rules:
            market.settle_rules(draft)

    def _end(self, moment: Moment) -> None:
        state = self.state
        if not state.is_complete:
            state.is_complete = True
            state.number = max(state.number, moment.number)
            self._draft.change(runs, (state.run,), last_number=moment.number, is_complete=True)


def _carry_traces(state: ProjectionState, run: str) -> None:
    """What is known of whose orders and positions are stays; what nobody holds any more is nobody's in the new run."""
    known = state.traces
    known.run = run
    known.holders.clear()
    for order in state.orders.values():
        known.note_order(order.client_order_id, order.intent, order.instrument)
    for memory in state.positions.values():
        known.note_position(memory.row.id, memory.row.intent, memory.row.instrument)


Handler = Callable[[Draft, Any], None]


def _nothing(_draft: Draft, _message: object) -> None:
    """It has no row: what it changed is told by facts."""


def _noted(draft: Draft, message: Any) -> None:
    """A system event."""
    draft.note(type(message).__name__, getattr(message, "instrument", None) or None, message, draft.trace(message))


def _unknown(draft: Draft, fact: Any) -> None:
    """A kind of fact that this release has no table for: nothing is lost, and as nobody can judge it, it is audited."""
    _noted(draft, fact)
    draft.audit("fact", ("fact", type(fact).__name__), trace=draft.trace(fact), context=builtins(fact))


def _differs(draft: Draft, fact: f.Discrepancy) -> None:
    _noted(draft, fact)
    draft.audit(
        "discrepancy",
        _of(draft, fact.instrument),
        trace=draft.trace(fact),
        change=(plain(fact.expected), plain(fact.found)),
        reason=fact.subject,
        success=False,
    )


def _repaired(draft: Draft, fact: f.Repaired) -> None:
    _noted(draft, fact)
    entity, trace = _of(draft, fact.instrument), draft.trace(fact)
    draft.audit("repair", entity, trace=trace, actor=ENGINE, change=(None, plain(fact.action)), reason=fact.subject)


def _stop_refused(draft: Draft, fact: f.ProtectionRefused) -> None:
    _noted(draft, fact)
    entity, trace = ("instrument", fact.instrument), draft.trace(fact)
    draft.audit("stop", entity, trace=trace, actor=draft.teller, reason=fact.why, success=False)


def _of(draft: Draft, instrument: str) -> tuple[str, str]:
    """What a difference is about: an instrument, or the account as a whole."""
    return ("instrument", instrument) if instrument else ("account", draft.state.account.name)


def _take_event(draft: Draft, event: e.AnyEvent) -> None:
    handler = _EVENTS.get(type(event))
    if handler is not None:
        handler(draft, event)
    elif isinstance(event, e.OrderEvent):
        orders.heard(draft, event)
    elif isinstance(event, e.OperatorRequest):
        account.requested(draft, event)
    else:
        _noted(draft, event)


def _take_fact(draft: Draft, fact: f.AnyFact) -> None:
    _FACTS.get(type(fact), _unknown)(draft, fact)


_EVENTS: dict[type, Handler] = {
    e.BookDelta: _nothing,
    e.BookSnapshot: _nothing,
    e.Candle: _nothing,
    e.TradePrint: market.printed,
    e.BestQuote: market.quoted,
    e.Ticker: market.told,
    e.InstrumentChanged: market.rules_changed,
    e.TimerFired: _nothing,
    e.FundingCharged: _nothing,
    e.ProtectionChanged: positions.protected,
    e.ProtectionRejected: _nothing,
    e.AccountRead: _nothing,
    e.Impaired: _nothing,
    e.Restored: _nothing,
}
"""Order messages and operator requests are families of their own; an event of no known kind is a system event."""

_FACTS: dict[type, Handler] = {
    f.BookGap: _noted,
    f.BookCrossed: _noted,
    f.BookCorrupt: _noted,
    f.BookRecovered: _noted,
    f.LatePrint: _noted,
    f.CandleClosed: market.candle_closed,
    f.LevelTested: market.level_tested,
    f.FindingMade: findings.found,
    f.FindingSettled: findings.settled,
    f.SignalProposed: decisions.proposed,
    f.SignalRefused: decisions.passed_over,
    f.IntentApproved: decisions.approved,
    f.EntryFeatures: decisions.entry_seen,
    f.IntentRefused: decisions.refused,
    f.ExitDecided: decisions.exit_decided,
    f.TradingStateChanged: account.trading_changed,
    f.OrderTransitioned: orders.transitioned,
    f.OrderUpdateIgnored: _noted,
    f.Discrepancy: _differs,
    f.Repaired: _repaired,
    f.BalanceCorrected: account.corrected,
    f.AccountCompared: _noted,
    f.PartChanged: account.part_changed,
    f.RequestRepeated: _noted,
    f.ProtectionRefused: _stop_refused,
    f.FillBooked: positions.filled,
    f.FundingBooked: positions.funded,
    f.PositionTransitioned: positions.transitioned,
    f.PositionClosed: positions.closed,
    f.EquityMarked: account.marked,
}
