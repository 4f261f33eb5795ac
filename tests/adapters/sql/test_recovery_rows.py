"""Rows of recovery: what was mended, what was corrected, what was away, and what outlives a run."""

from decimal import Decimal

import pytest
from tests.adapters.sql.journals import DAY_ONE, a_header
from tests.core.engine.builders import BTC, SECOND

from stakan.adapters.sql import tables as t
from stakan.adapters.sql.batch import Rows
from stakan.adapters.sql.moments import Moment
from stakan.adapters.sql.projection import Fold
from stakan.core.domain.events import AccountRead, Impaired, PauseEntries, ResumeEntries
from stakan.core.domain.facts import (
    AccountCompared,
    BalanceCorrected,
    Discrepancy,
    EquityMarked,
    PartChanged,
    Repaired,
    RequestRepeated,
    TradingStateChanged,
)
from stakan.core.domain.reasons import Reason
from stakan.core.domain.step import Step
from stakan.core.domain.trading import TradingState

FIRST, NEXT = "20231114-221350-paper", "20231114-231350-paper"
READING = AccountRead(ts_event=1, ts_recv=1, asked_ts=0, positions=(), orders=(), balance=None)


class Story:
    def __init__(self):
        self.fold = Fold()
        self.fold.begin(FIRST, a_header(), carries_on=False)
        self.number = 0

    def step(self, *facts, event=None):
        self.number += 1
        ts = DAY_ONE + self.number * SECOND
        self.fold.take(Moment(self.number, event, Step(self.number, ts, facts) if facts else None))
        return self

    def next_run(self, *, carries_on=True):
        self.fold.begin(NEXT, a_header(), carries_on=carries_on)
        return self

    def rows(self):
        rows = Rows()
        self.audit = self.fold.batch.audit
        rows.take(self.fold.take_batch())
        return rows


def a_mark(balance, unrealised=0):
    return EquityMarked(balance=Decimal(balance), unrealised_pnl=Decimal(unrealised), exposure=Decimal(0))


def a_state(state, reason=Reason.OPERATOR):
    return TradingStateChanged(state=state, reason=reason, detail="because")


def request(kind):
    return kind(ts_event=1, ts_recv=1, actor="olga", request_id="r1")


@pytest.mark.parametrize(("is_transfer", "peak", "day_start"), [(True, 1500, 1500), (False, 1500, 1000)])
def test_money_that_was_moved_is_no_result(is_transfer, peak, day_start):
    story = Story().step(a_mark(1000))
    corrected = BalanceCorrected(before=Decimal(1000), after=Decimal(1500), is_transfer=is_transfer)
    story.step(corrected, event=READING).step(a_mark(1500))
    (row,) = story.rows()[t.risk_state].values()
    assert (row["balance"], row["peak_equity"], row["day_start_equity"]) == (1500, peak, day_start)
    (entry,) = [entry for entry in story.audit if entry.action == "repair"]
    assert (entry.entity, entry.old, entry.new) == ("main", "1000", "1500")


def test_what_was_mended_is_told_with_the_difference_before_it():
    story = Story().step(
        Discrepancy(instrument=BTC, subject="position", expected="3 lots", found="0 lots"),
        Repaired(instrument=BTC, subject="position", action="booked repair-1"),
        Discrepancy(instrument="", subject="balance", expected="1", found="2"),
        AccountCompared(differences=2, repaired=2, is_agreed=False),
        event=READING,
    )
    kinds = [row["kind"] for row in story.rows()[t.system_events].values()]
    assert kinds == ["Discrepancy", "Repaired", "Discrepancy", "AccountCompared"]
    told = [(entry.action, entry.entity_kind, entry.entity, entry.actor, entry.success) for entry in story.audit]
    assert told == [
        ("discrepancy", "instrument", BTC, "engine", False),
        ("repair", "instrument", BTC, "engine", True),
        ("discrepancy", "account", "main", "engine", False),
    ]


def test_a_part_that_is_away_and_comes_back_is_told():
    story = Story().step(
        PartChanged(part="disk", why="no space"), event=Impaired(ts_event=1, ts_recv=1, part="disk", why="x")
    )
    story.step(PartChanged(part="disk", why=None))
    assert len(story.rows()[t.system_events]) == 2
    assert [(entry.action, entry.entity, entry.reason) for entry in story.audit] == [
        ("impaired", "disk", "no space"),
        ("restored", "disk", ""),
    ]


@pytest.mark.parametrize(
    ("paused", "state", "reason", "after"),
    [
        (True, TradingState.REDUCING, Reason.OPERATOR, "reducing"),
        (False, TradingState.REDUCING, Reason.IMPAIRED, "active"),
        (False, TradingState.REDUCING, Reason.STOPPING, "active"),
        (False, TradingState.HALTED, Reason.DAILY_LOSS, "halted"),
    ],
)
def test_a_halt_and_a_pause_outlive_the_run_and_nothing_else_does(paused, state, reason, after):
    story = Story()
    if paused:
        story.step(a_state(state, reason), event=request(PauseEntries))
    else:
        story.step(a_state(state, reason))
    story.next_run().step(a_mark(1000))
    (row,) = story.rows()[t.risk_state].values()
    assert (row["trading"], row["run"]) == (after, NEXT)


def test_a_request_that_came_twice_is_kept_twice_and_changes_nothing_the_second_time():
    story = Story().step(a_state(TradingState.REDUCING), event=request(PauseEntries))
    story.step(a_state(TradingState.ACTIVE), event=request(ResumeEntries))
    repeated = RequestRepeated(operation="PauseEntries", request_id="r1", first=1)
    story.step(repeated, event=request(PauseEntries))
    rows = story.rows()
    assert [row["outcome"]["facts"] for row in rows[t.operator_requests].values()][-1] == {"RequestRepeated": 1}
    assert not story.fold.state.account.is_paused


def test_a_run_that_begins_with_nothing_has_an_account_of_its_own():
    story = Story().step(a_mark(1000)).step(a_state(TradingState.HALTED))
    story.next_run(carries_on=False).step(a_mark(200))
    (row,) = story.rows()[t.risk_state].values()
    assert (row["trading"], row["peak_equity"], row["day_start_equity"]) == ("active", 200, 200)
