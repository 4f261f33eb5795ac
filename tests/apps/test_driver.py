"""Virtual time: every event in its place, no cause after its effect."""

import heapq
import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.engine.builders import BTC, MS, SECOND, a_print

from stakan.apps.driver import SETTLE_NS, EventOrder, VirtualTime
from stakan.core.domain.batch import BatchBuilder, MarketWindow, window
from stakan.core.domain.commands import CancelOrder, RequestSnapshot, SetTimer
from stakan.core.domain.events import Flatten, OrderAccepted, TimerFired, TradePrint
from stakan.core.domain.step import Step

SENT = 5 * MS
ANSWERED = 3 * MS


def a_history(times, cuts=()):
    """Prints at these receive times, in windows that end before the given ordinals."""
    builder = BatchBuilder(BTC)
    bounds = [0, *sorted(cuts), len(times)]
    windows = []
    for first, last in itertools.pairwise(bounds):
        for number in range(first, last):
            builder.add(a_print(ts=times[number], number=number), number)
        windows.append(window((builder.build(),)))
    return SimpleNamespace(windows=lambda: iter(windows))


def an_order(name):
    """The driver does not look into commands; a cancel is the smallest one that travels."""
    return CancelOrder(instrument=BTC, client_order_id=name)


def news(name, at, seen=None):
    return OrderAccepted(
        instrument=BTC, client_order_id=name, ts_event=at, ts_recv=at + ANSWERED if seen is None else seen
    )


class FakeSimulator:
    """Answers every command when it arrives and tells its own news; stops at each instant that tells something.

    It refuses to be led back in time, and to be sent a command for a time that it has lived through.
    """

    def __init__(self, own=(), sent=SENT):
        self.sent = sent
        self.lived = 0
        self.fed = 0
        self.arrivals = []
        self._ordinals = itertools.count()
        self._due = []
        for event in own:
            self._plan(event.ts_event, event)

    def feed(self, market: MarketWindow):
        self.fed += len(market)

    def submit(self, command, now):
        at = now + self.sent
        assert at >= self.lived, f"arrives at {at}, the exchange has lived to {self.lived}"
        self.arrivals.append((command.client_order_id, now, at))
        self._plan(at, news(f"{command.client_order_id} arrived", at))

    def advance(self, now):
        assert now >= self.lived
        if not self._due or self._due[0][0] > now:
            self.lived = now
            return []
        self.lived = self._due[0][0]
        told = []
        while self._due and self._due[0][0] == self.lived:
            told.append(heapq.heappop(self._due)[2])
        return told

    def _plan(self, at, event):
        heapq.heappush(self._due, (at, next(self._ordinals), event))


class Bot:
    """Stands where the engine stands: answers events by a script and remembers what it saw."""

    pending_timers = ()

    def __init__(self, answer=lambda _event: (), busy=lambda: ()):
        self.seen = []
        self.state = SimpleNamespace(now=0, portfolio=SimpleNamespace(busy_instruments=busy))
        self._answer = answer

    def step(self, event):
        assert event.ts_recv >= self.state.now, "time goes back"
        self.state.now = event.ts_recv
        self.seen.append(event)
        return Step(len(self.seen), event.ts_recv, (), tuple(self._answer(event)))

    @property
    def words(self):
        return [(name_of(event), event.ts_recv) for event in self.seen]


def name_of(event):
    match event:
        case TradePrint():
            return event.trade_id
        case TimerFired():
            return event.key
        case Flatten():
            return "end"
        case _:
            return event.client_order_id


def live(bot, simulator, history):
    driver = VirtualTime(bot, simulator, lambda _event, _step: None)
    for _ in driver.run(history):
        pass
    return driver


def on(what, *commands):
    """A bot's script: these commands at this event."""
    return lambda event: commands if name_of(event) == what else ()


def test_a_command_arrives_after_its_latency_though_the_market_is_silent_meanwhile():
    bot, simulator = Bot(on(0, an_order("a"))), FakeSimulator()
    live(bot, simulator, a_history([SECOND, 10 * SECOND]))
    assert simulator.arrivals == [("a", SECOND, SECOND + SENT)]
    assert bot.words == [
        (0, SECOND),
        ("a arrived", SECOND + SENT + ANSWERED),
        (1, 10 * SECOND),
        ("end", 10 * SECOND),
    ]


def test_what_the_bot_answers_to_news_between_two_market_events_arrives_before_the_exchange_lives_on():
    bot = Bot(on("fill", an_order("reply")))
    simulator = FakeSimulator([news("fill", 2 * SECOND), news("later", 3 * SECOND)])
    live(bot, simulator, a_history([SECOND, 10 * SECOND]))
    assert simulator.arrivals == [("reply", 2 * SECOND + ANSWERED, 2 * SECOND + ANSWERED + SENT)]
    assert [word for word, _ in bot.words] == [0, "fill", "reply arrived", "later", 1, "end"]


def test_at_one_moment_the_exchange_speaks_before_the_market():
    told = news("told", SECOND - ANSWERED)
    bot = Bot()
    live(bot, FakeSimulator([told]), a_history([SECOND]))
    assert [word for word, _ in bot.words] == ["told", 0, "end"]


def test_news_of_one_moment_keep_the_order_in_which_the_exchange_told_them():
    own = [news("first", SECOND, 2 * SECOND), news("second", SECOND + MS, 2 * SECOND)]
    bot = Bot()
    live(bot, FakeSimulator(own), a_history([2 * SECOND]))
    assert [word for word, _ in bot.words] == ["first", "second", 0, "end"]


def test_an_instant_at_the_exchange_is_lived_through_before_a_market_event_of_the_same_time():
    bot = Bot(on("now", an_order("a")))
    simulator = FakeSimulator([news("now", SECOND, SECOND)], sent=0)
    live(bot, simulator, a_history([SECOND, 2 * SECOND]))
    assert [word for word, _ in bot.words] == ["now", 0, "a arrived", 1, "end"]


def test_a_timer_fires_once_at_its_time():
    bot = Bot(on(0, SetTimer(key="t", at=3 * SECOND)))
    live(bot, FakeSimulator(), a_history([SECOND, 5 * SECOND]))
    assert bot.words == [(0, SECOND), ("t", 3 * SECOND), (1, 5 * SECOND), ("end", 5 * SECOND)]


def test_what_waits_to_enter_is_news_and_no_timer():
    seen, order = [], None

    def fold(event):
        commands = (SetTimer(key="t", at=9 * SECOND),) if name_of(event) == "first" else ()
        seen.append((name_of(event), order.waiting))
        return Step(len(seen), event.ts_recv, (), commands)

    told = [news("first", SECOND, 2 * SECOND), news("second", SECOND, 3 * SECOND)]
    order = EventOrder(FakeSimulator(told), fold, lambda _command: None)
    order.live_until(4 * SECOND)
    assert seen == [("first", 1), ("second", 0)]
    assert (order.waiting, order.next_due) == (0, 9 * SECOND)


def test_a_timer_in_the_past_fires_now():
    bot = Bot(on(0, SetTimer(key="t", at=MS)))
    live(bot, FakeSimulator(), a_history([SECOND, 5 * SECOND]))
    assert ("t", SECOND) in bot.words


@pytest.mark.parametrize("new", [2 * SECOND, 4 * SECOND])
def test_a_later_timer_of_the_same_key_replaces_the_earlier(new):
    bot = Bot(on(0, SetTimer(key="t", at=3 * SECOND), SetTimer(key="t", at=new), SetTimer(key="u", at=3 * SECOND)))
    live(bot, FakeSimulator(), a_history([SECOND, 6 * SECOND]))
    assert sorted(word for word in bot.words if word[0] in {"t", "u"}) == [("t", new), ("u", 3 * SECOND)]


def test_a_timer_may_be_set_anew_when_it_has_fired():
    again = iter([SetTimer(key="t", at=4 * SECOND)])
    first = (SetTimer(key="t", at=2 * SECOND),)
    bot = Bot(
        lambda event: (
            first if name_of(event) == 0 else [next(again, None) or an_order("done")] if name_of(event) == "t" else ()
        )
    )
    live(bot, FakeSimulator(), a_history([SECOND, 6 * SECOND]))
    assert [at for word, at in bot.words if word == "t"] == [2 * SECOND, 4 * SECOND]


def test_at_the_end_everything_is_asked_to_close_and_time_goes_on_while_something_is_open():
    open_things = ["position"]
    bot = Bot(busy=lambda: open_things)

    def answer(event):
        match name_of(event):
            case "end":
                return [an_order("close")]
            case "close arrived":
                open_things.clear()
        return []

    bot._answer = answer
    live(bot, FakeSimulator(), a_history([SECOND]))
    assert [word for word, _ in bot.words] == [0, "end", "close arrived"]


def test_what_never_closes_ends_the_run_all_the_same():
    bot, simulator = Bot(busy=lambda: ["position"]), FakeSimulator()
    live(bot, simulator, a_history([SECOND]))
    assert simulator.lived == SECOND + SETTLE_NS


def test_requests_for_snapshots_are_counted():
    bot = Bot(lambda event: [RequestSnapshot(instrument=BTC)] if name_of(event) in {0, 2} else [])
    driver = live(bot, FakeSimulator(), a_history([SECOND, 2 * SECOND, 3 * SECOND]))
    assert driver.snapshot_requests == 2


def test_progress_is_told_after_each_window():
    driver = VirtualTime(Bot(), FakeSimulator(), lambda _event, _step: None)
    told = list(driver.run(a_history([SECOND, 2 * SECOND, 3 * SECOND], cuts=[2])))
    assert told == [(2 * SECOND, 2), (3 * SECOND, 1)]


def test_every_event_is_observed_with_its_step_in_order():
    seen = []
    bot = Bot(on(0, an_order("a")))
    driver = VirtualTime(bot, FakeSimulator(), lambda event, step: seen.append((event, step.number)))
    for _ in driver.run(a_history([SECOND, 2 * SECOND])):
        pass
    assert [event for event, _ in seen] == bot.seen
    assert [number for _, number in seen] == [1, 2, 3, 4]


# --- laws -----------------------------------------------------------------------------------------------------------

moments = st.integers(0, 200).map(lambda at: SECOND + at * MS)


@st.composite
def worlds(draw):
    """Market times, news of the exchange's own, and which events the bot answers with an order or a timer."""
    times = sorted(draw(st.lists(moments, min_size=1, max_size=25)))
    own = [
        news(f"n{number}", at, at + delay * MS)
        for number, (at, delay) in enumerate(draw(st.lists(st.tuples(moments, st.integers(0, 20)), max_size=10)))
    ]
    answers = draw(st.lists(st.sampled_from(("", "order", "timer")), min_size=1, max_size=7))
    latency = draw(st.integers(0, 15)) * MS
    return times, own, answers, latency


def a_reactive_bot(answers):
    """Answers its first hundred events in turn; timers share three keys, so that some replace others."""
    numbers = itertools.count()

    def answer(event):
        number = next(numbers)
        if number >= 100:
            return ()
        match answers[number % len(answers)]:
            case "order":
                return [an_order(f"o{number}")]
            case "timer":
                return [SetTimer(key=f"t{number % 3}", at=event.ts_recv + (number % 4) * 7 * MS)]
            case _:
                return ()

    return Bot(answer)


@settings(max_examples=150)
@given(worlds())
def test_no_cause_comes_after_its_effect_and_nothing_is_lost(world):
    times, own, answers, latency = world
    # A last print, long after, brings everything home.
    times = [*times, times[-1] + 10 * SECOND]
    bot, simulator = a_reactive_bot(answers), FakeSimulator(own, latency)
    live(bot, simulator, a_history(times))
    assert all(arrived == sent + latency for _, sent, arrived in simulator.arrivals)
    seen = [name_of(event) for event in bot.seen]
    assert [word for word in seen if isinstance(word, int)] == list(range(len(times)))
    told = [event.client_order_id for event in own] + [
        f"{name} arrived" for name, sent, _ in simulator.arrivals if sent < times[-1]
    ]
    assert sorted(word for word in seen if word in set(told)) == sorted(told)


@settings(max_examples=100)
@given(worlds(), st.sets(st.integers(0, 25), max_size=6))
def test_where_windows_are_cut_changes_nothing(world, cuts):
    times, own, answers, latency = world
    cuts = [cut for cut in cuts if cut <= len(times)]
    one, other = a_reactive_bot(answers), a_reactive_bot(answers)
    live(one, FakeSimulator(own, latency), a_history(times))
    live(other, FakeSimulator(own, latency), a_history(times, cuts))
    assert one.words == other.words
