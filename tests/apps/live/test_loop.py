"""The live loop is virtual time: the same order of events, whatever the wall clock does."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apps.live.builders import NoJournal, TestTime
from tests.apps.test_driver import (
    SECOND,
    Bot,
    FakeSimulator,
    a_history,
    a_reactive_bot,
    an_order,
    live,
    name_of,
    news,
    on,
    worlds,
)
from tests.core.engine.builders import BTC, MS, a_print

from stakan.apps.driver import NEVER
from stakan.apps.live.counterparties import AtVenue
from stakan.apps.live.loop import SNAPSHOT_NS, LiveLoop
from stakan.core.domain.commands import RequestSnapshot, SetProtection, SetTimer
from stakan.core.domain.errors import DiskFull
from stakan.core.domain.events import PauseEntries, TradePrint
from stakan.core.domain.step import Step


class AtFake:
    """A live counterparty over the simulator of the driver's tests."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.seen = []
        self.released = self.stops_released = 0

    @property
    def next_due(self):
        return self.simulator._due[0][0] if self.simulator._due else NEVER

    def see(self, event):
        self.seen.append(event)

    def advance(self, now):
        return self.simulator.advance(now)

    def submit(self, command, now):
        self.simulator.submit(command, now)

    def release(self):
        self.released += 1

    def release_stops(self):
        self.stops_released += 1


FLUSH_NS = 50 * MS


class LiveBot(Bot):
    """The scripted bot with what a live loop reads of an engine beside."""

    def __init__(self, answer=lambda _event: (), busy=lambda: ()):
        super().__init__(answer, busy)
        self.state.number = 0

    def step(self, event):
        self.state.number += 1
        return super().step(event)

    def snapshot(self):
        return b"state"


def a_loop(bot, simulator=None, time=None, **more):
    journal = NoJournal()
    time = time or TestTime()
    values = {"flush_ns": FLUSH_NS, "refresh": lambda _command: None, "observe": lambda _event, _step: None}
    loop = LiveLoop(bot, AtFake(simulator or FakeSimulator()), journal, time, **{**values, **more})
    return loop, journal, time


def pause(at=0):
    return PauseEntries(ts_event=at, ts_recv=at, actor="ann", request_id="1")


def as_live(bot):
    """The same script for the loop, which also asks for the step's number."""
    return LiveBot(bot._answer)


# --- the law --------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(worlds(), st.lists(st.integers(0, 9 * MS), min_size=1, max_size=5), st.integers(0, 3))
def test_the_order_of_a_live_loop_is_that_of_virtual_time_on_what_it_received(world, delays, same_frame):
    times, own, answers, latency = world
    late = itertools.cycle(delays)
    time = TestTime(late=lambda: next(late))
    bot = as_live(a_reactive_bot(answers))
    loop, _, _ = a_loop(bot, FakeSimulator(own, latency), time)
    for number, at in enumerate(times):
        time.run_until(at)
        stamp = time.now()
        # Events of one frame have one stamp.
        for part in range(1 + same_frame * (number % 2)):
            loop.deliver(a_print(ts=stamp, number=10 * number + part))
    time.run_until(times[-1] + SECOND)
    received = [event for event in bot.seen if isinstance(event, TradePrint)]
    stamps = [event.ts_recv for event in received]
    assert stamps == sorted(set(stamps))
    assert len(received) == sum(1 + same_frame * (number % 2) for number in range(len(times)))

    again = a_reactive_bot(answers)
    history = a_history(stamps)
    live(again, FakeSimulator(own, latency), history)
    names = {number: event.trade_id for number, event in enumerate(received)}
    replayed = [(names.get(word, word), at) for word, at in again.words]
    during = replayed[: replayed.index(("end", stamps[-1]))]
    assert bot.words[: len(during)] == during


@settings(max_examples=60)
@given(worlds())
def test_everything_is_written_before_it_is_observed_and_synced_before_commands_leave(world):
    times, own, answers, latency = world
    time = TestTime()
    bot = as_live(a_reactive_bot(answers))
    observed = []
    counted = []
    loop, journal, _ = a_loop(bot, FakeSimulator(own, latency), time, observe=lambda _e, s: observed.append(s.number))
    loop._counterparty.release = lambda: counted.append(journal.words("sync", "step")[-1])
    for at in times:
        time.run_until(at)
        loop.deliver(a_print(ts=time.now()))
    time.run_until(times[-1] + SECOND)
    assert set(counted) <= {"sync"}
    written = [number for word, number, _ in journal.written if word in {"event", "step"}]
    assert written == [number for number in observed for _ in range(2)]


# --- one by one -----------------------------------------------------------------------------------------------------


def test_a_timer_fires_with_its_own_time_however_late_the_call_comes():
    bot = LiveBot(on(0, SetTimer(key="t", at=3 * SECOND)))
    loop, _, time = a_loop(bot, time=TestTime(late=lambda: 7 * MS))
    time.run_until(SECOND)
    loop.deliver(a_print(ts=time.now(), number=0))
    time.run_until(10 * SECOND)
    assert ("t", 3 * SECOND) in bot.words


def test_a_timer_fires_before_an_event_that_was_received_after_it():
    bot = LiveBot(on(0, SetTimer(key="t", at=3 * SECOND)))
    loop, _, time = a_loop(bot, time=TestTime(late=lambda: SECOND))
    time.run_until(SECOND)
    loop.deliver(a_print(ts=SECOND, number=0))
    loop.deliver(a_print(ts=3 * SECOND + MS, number=1))
    assert [word for word, _ in bot.words] == [0, "t", 1]


def test_an_event_that_was_held_back_is_stamped_anew():
    bot = LiveBot()
    loop, _, _ = a_loop(bot)
    loop.deliver(a_print(ts=2 * SECOND, number=0))
    loop.deliver(a_print(ts=SECOND, number=1))
    assert bot.words == [(0, 2 * SECOND), (1, 2 * SECOND + 1)]


def test_what_is_delivered_from_within_enters_after_what_is_entering():
    bot = LiveBot(lambda event: [RequestSnapshot(instrument=BTC)] if name_of(event) == 0 else ())
    loop, _, _ = a_loop(bot, refresh=lambda _command: loop.deliver(a_print(ts=5, number=7)))
    loop.deliver(a_print(ts=SECOND, number=0))
    assert [word for word, _ in bot.words] == [0, 7]


def test_commands_of_several_events_in_one_callback_are_synced_once():
    bot = LiveBot(lambda event: [an_order(f"o{name_of(event)}")] if isinstance(name_of(event), int) else ())
    parts = [a_print(ts=SECOND, number=number) for number in range(3)]
    loop, journal, _ = a_loop(bot)

    def more(_event, _step):
        while parts:
            loop.deliver(parts.pop())

    loop._witness = more
    loop.deliver(a_print(ts=SECOND, number=9))
    assert journal.words("sync") == ["sync"]
    assert loop._counterparty.released == 1


def test_a_step_is_witnessed_before_its_orders_leave_and_observed_after():
    bot = LiveBot(lambda event: [an_order("one")] if name_of(event) == 1 else ())
    told = []
    loop, journal, _ = a_loop(bot, witness=lambda _event, step: told.append(("witnessed", step.number)))
    loop._observe = lambda _event, step: told.append(("observed", step.number, bot.state.number))
    loop._counterparty.release = lambda: told.append("released")
    journal.sync = lambda: told.append("synced")
    loop.deliver(a_print(ts=SECOND, number=1))
    assert told == [("witnessed", 1), "synced", "released", ("observed", 1, 1)]


def test_a_step_is_observed_before_the_engine_goes_on():
    bot = LiveBot(lambda event: [an_order(f"o{name_of(event)}")])
    told = []

    def observe(_event, step):
        told.append((step.number, bot.state.number))

    loop, _, _ = a_loop(bot, observe=observe)
    first = iter([a_print(ts=SECOND, number=2), a_print(ts=SECOND, number=3)])
    loop._witness = lambda _event, _step: [loop.deliver(event) for event in first]
    loop.deliver(a_print(ts=SECOND, number=1))
    assert told == [(1, 1), (2, 2), (3, 3)]


def test_a_step_whose_orders_could_not_leave_is_observed():
    bot = LiveBot(lambda _event: [an_order("one")])
    told, failures = [], []
    loop, journal, _ = a_loop(bot, observe=lambda _event, step: told.append(step.number), failed=failures.append)

    def full():
        raise DiskFull("no room")

    journal.sync = full
    loop.deliver(a_print(ts=SECOND, number=1))
    assert told == [1]
    assert [type(error) for error in failures] == [DiskFull]
    assert loop._counterparty.released == 0
    assert loop._counterparty.stops_released == 1


def test_of_what_is_not_on_the_disk_only_stops_leave():
    """Found by `stakan dst`, seed 5880: a disk was full when a stop had to be put back."""
    venue = FakeVenue()
    counterparty = AtVenue(venue)
    stop = SetProtection(instrument=BTC, stop_loss=630_000, take_profit=None)
    for command in (an_order("one"), SetProtection(instrument=BTC, stop_loss=None, take_profit=None), stop):
        counterparty.submit(command, 0)
    counterparty.release_stops()
    counterparty.release()
    assert venue.sent == [stop]


class FakeVenue:
    def __init__(self):
        self.sent = []

    def send(self, command):
        self.sent.append(command)


def test_operator_requests_enter_and_are_no_market():
    bot = LiveBot()
    loop, journal, _ = a_loop(bot)
    loop.deliver(pause())
    assert [type(event) for event in bot.seen] == [PauseEntries]
    assert loop._counterparty.seen == []
    assert journal.words("event") == ["event"]


def test_what_an_operator_asked_for_is_on_the_disk_when_it_is_accepted():
    """Found by simulation: a halt that closed nothing was lost by a kill within the second."""
    loop, journal, _ = a_loop(LiveBot())
    loop.deliver(pause())
    assert journal.words() == ["event", "step", "sync"]


def test_a_run_is_flushed_at_short_intervals_and_snapshot_each_minute():
    bot = LiveBot()
    loop, journal, time = a_loop(bot)
    loop.deliver(a_print(ts=time.now()))
    time.run_until(2 * SNAPSHOT_NS + 2 * FLUSH_NS)
    assert len(journal.words("snapshot")) == 2
    expected = 2 * SNAPSHOT_NS / FLUSH_NS
    assert 0.9 * expected <= len(journal.words("flush")) <= expected + 2


def test_many_steps_are_a_reason_for_a_snapshot_too(monkeypatch):
    monkeypatch.setattr("stakan.apps.live.loop.SNAPSHOT_STEPS", 10)
    loop, journal, time = a_loop(LiveBot())
    for number in range(1, 26):
        time.run_until(number * 100 * MS)
        loop.deliver(a_print(ts=time.now(), number=number))
    time.run_until(25 * 100 * MS + 2 * FLUSH_NS)
    assert len(journal.words("snapshot")) == 2


def test_news_of_the_exchange_arrive_when_they_are_due_though_the_market_is_silent():
    bot = LiveBot(on(0, an_order("a")))
    loop, _, time = a_loop(bot, FakeSimulator([news("later", 4 * SECOND)]))
    time.run_until(SECOND)
    loop.deliver(a_print(ts=time.now(), number=0))
    time.run_until(2 * SECOND)
    assert [word for word, _ in bot.words] == [0, "a arrived"]
    time.run_until(5 * SECOND)
    assert [word for word, _ in bot.words] == [0, "a arrived", "later"]


# --- the end --------------------------------------------------------------------------------------------------------


def test_a_step_that_raises_ends_the_run_and_keeps_the_journal_as_evidence():
    def broken(event):
        if name_of(event) == 1:
            raise ZeroDivisionError("a bug")
        return ()

    told = []
    bot = LiveBot(broken)
    loop, journal, time = a_loop(bot, failed=told.append)
    for number in range(3):
        loop.deliver(a_print(ts=time.now(), number=number))
    time.run_until(10 * SECOND)
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert loop.failure is told[0]
    assert loop.is_over
    assert journal.words()[-1] == "abandon"
    assert journal.words("event") == ["event", "event"], "the event that broke it is written, the next is not"
    loop.close()
    assert "close" not in journal.words()


def test_a_journal_that_cannot_be_written_ends_the_run_before_a_command_leaves():
    bot = LiveBot(on(0, an_order("a")))
    loop, journal, time = a_loop(bot)
    journal.sync = lambda: (_ for _ in ()).throw(OSError("disk full"))
    loop.deliver(a_print(ts=time.now(), number=0))
    assert isinstance(loop.failure, OSError)
    assert loop._counterparty.released == 0


def test_the_end_takes_what_is_due_with_the_last_event_and_nothing_after():
    bot = LiveBot(on(0, SetTimer(key="now", at=0), SetTimer(key="later", at=9 * SECOND)))
    loop, journal, time = a_loop(bot)
    loop.deliver(a_print(ts=SECOND, number=0))
    loop.close()
    loop.deliver(a_print(ts=2 * SECOND, number=1))
    time.run_until(10 * SECOND)
    assert [word for word, _ in bot.words] == [0, "now"]
    assert journal.words()[-1] == "close"


@pytest.mark.parametrize("ending", ["close", "fail"])
def test_no_call_is_left_behind(ending):
    bot = LiveBot()
    loop, _, time = a_loop(bot)
    loop.deliver(a_print(ts=SECOND))
    if ending == "close":
        loop.close()
    else:
        bot.step = lambda _event: Step(0, 0, (), (msgspec.UNSET,))
        loop.deliver(None)
    assert all(called.call is None for _, _, called in time._calls)
