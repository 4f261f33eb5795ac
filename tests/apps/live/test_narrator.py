"""What a bot says: every step of interest once, with its trace, in the market's own units; never a tick."""

import logging

import pytest
from tests.core.domain.samples import members, sample
from tests.core.domain.test_trace import RUN, a_run
from tests.core.engine.builders import BTC, SECOND, a_delta, a_print, a_snapshot, an_engine, an_instrument, live

from stakan.apps.live.narrator import Narrator, level_of, name_of
from stakan.apps.logs import get_logger
from stakan.core.domain.commands import AnyCommand
from stakan.core.domain.events import AnyEvent, FeedDown, Halt, ReleaseHalt
from stakan.core.domain.facts import (
    AnyFact,
    BookGap,
    CandleClosed,
    Discrepancy,
    EntryFeatures,
    EquityMarked,
    FindingSettled,
    LatePrint,
    LevelTested,
)
from stakan.core.domain.step import Step
from stakan.core.domain.trace import Traces, trace_of

TICKING = (EquityMarked, CandleClosed, LatePrint, LevelTested, FindingSettled, EntryFeatures)


class Heard(logging.Handler):
    """A logger's listener; `lines` are (level, fields)."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append((record.levelname, record.msg))

    def of(self, event):
        return [fields for _, fields in self.lines if fields["event"] == event]


@pytest.fixture
def heard():
    handler, logger = Heard(), logging.getLogger("test.narrator")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def a_narrator():
    return Narrator(Traces(run=RUN), {BTC: an_instrument()}.get, get_logger("test.narrator"))


def narrated(steps):
    narrator = a_narrator()
    for event, step in steps:
        narrator.observe(event, step)


def test_a_trade_is_told_from_the_decision_to_its_end_under_one_trace(heard):
    narrated(a_run())
    intent = heard.of("intent_approved")[0]["trace"]
    told = [fields["event"] for _, fields in heard.lines if fields["trace"] == intent]
    for event in (
        "signal",
        "intent_approved",
        "order_sent",
        "order",
        "position",
        "fill",
        "protection",
        "exit",
        "trade",
    ):
        assert event in told


def test_prices_and_sizes_are_those_of_the_market(heard):
    narrated(a_run())
    sent, fill = heard.of("order_sent")[0], heard.of("fill")[0]
    assert (str(sent["price"]), str(sent["size"]), str(sent["stop_loss"])) == ("64000.1", "0.003", "63680.1")
    assert (str(fill["price"]), str(fill["size"])) == ("64000.1", "0.002")
    assert fill["order"] == sent["order"]


def test_a_market_that_does_nothing_is_not_told(heard):
    events = [a_snapshot(ts=SECOND)]
    events += [a_delta([(639_990, 5)], [], SECOND * (i + 1), i + 1) for i in range(1, 100)]
    events += [a_print(ts=200 * SECOND, number=1)]
    steps = live(an_engine(), events)
    assert any(step.facts for _, step in steps)
    narrated(steps)
    assert heard.lines == []


def test_each_fact_and_command_that_is_told_is_told_once_with_the_trace_of_its_step(heard):
    steps = a_run()
    narrated(steps)
    known, expected = Traces(run=RUN), []
    for event, step in steps:
        known.note(step)
        told = [item for item in (*step.facts, *step.commands) if not isinstance(item, TICKING)]
        told = [item for item in told if type(item).__name__ != "SetTimer"]
        if name_of(event) == "protection":
            told.insert(0, event)
        expected += [(name_of(item), trace_of(item, step, known), step.number) for item in told]
    assert [(one["event"], one["trace"], one["step"]) for _, one in heard.lines] == expected


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("kind", [*members(AnyFact), *members(AnyCommand)])
def test_every_kind_of_fact_and_command_can_be_told(heard, kind, fill):
    item = sample(kind, fill)
    is_fact = kind in members(AnyFact)
    step = Step(7, 7, (item,) if is_fact else (), () if is_fact else (item,))
    a_narrator().observe(a_print(ts=7), step)
    is_silent = kind in TICKING or kind.__name__ == "SetTimer"
    assert [fields["event"] for _, fields in heard.lines] == ([] if is_silent else [name_of(item)])
    if heard.lines:
        assert heard.lines[0][0] == logging.getLevelName(level_of(item))


@pytest.mark.parametrize("kind", members(AnyEvent))
def test_no_kind_of_event_stops_the_narrator(heard, kind):
    a_narrator().observe(sample(kind, True), Step(7, 7))


def test_what_an_operator_asks_for_is_told_with_his_name_and_the_id_of_his_request(heard):
    engine = an_engine()
    about = {"ts_event": SECOND, "ts_recv": SECOND, "actor": "ann", "request_id": "ann:42"}
    narrated(live(engine, [Halt(**about, why="too hot"), ReleaseHalt(**about)]))
    halt, release = heard.of("operator")
    assert (halt["request"], halt["actor"], halt["correlation"], halt["why"]) == ("Halt", "ann", "ann:42", "too hot")
    assert release["request"] == "ReleaseHalt"
    levels = [level for level, fields in heard.lines if fields["event"] == "trading"]
    assert levels == ["WARNING", "INFO"]


def test_gaps_differences_and_lost_feeds_are_warnings(heard):
    narrator = a_narrator()
    narrator.observe(FeedDown(instrument=BTC, ts_event=1, ts_recv=1, why="silent"), Step(1, 1))
    gap = BookGap(instrument=BTC, expected=4, got=9)
    differs = Discrepancy(instrument=BTC, subject="position", expected="1 lots", found="2 lots")
    narrator.observe(a_print(ts=2), Step(2, 2, (gap, differs)))
    assert [(level, fields["event"]) for level, fields in heard.lines] == [
        ("WARNING", "feed_down"),
        ("WARNING", "book_gap"),
        ("WARNING", "discrepancy"),
    ]


def test_what_is_less_important_than_the_level_costs_no_words(heard):
    logging.getLogger("test.narrator").setLevel(logging.WARNING)
    narrated(a_run())
    assert heard.lines == []
