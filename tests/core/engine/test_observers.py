"""Detectors and feature sets in the engine: what they are shown, what becomes of it, what outlives a run."""

import math
from decimal import Decimal
from typing import ClassVar

import msgspec
import pytest

from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import FeedDown, InstrumentChanged, TradePrint
from stakan.core.domain.facts import (
    EntryFeatures,
    FindingMade,
    FindingSettled,
    IntentApproved,
    LevelTested,
    SignalProposed,
    SignalRefused,
)
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.patterns import Known, PatternLibrary
from stakan.core.domain.reasons import Reason
from stakan.core.domain.units import Side
from stakan.core.engine.observers import KEPT
from stakan.core.engine.state import fresh_market
from stakan.core.features.definitions import Definition
from stakan.core.features.further import FeatureSet, Further
from stakan.core.plugins import Detector
from tests.core.engine.builders import (
    BTC,
    ETH,
    MS,
    SECOND,
    Eager,
    a_delta,
    a_print,
    a_snapshot,
    an_engine,
    an_instrument,
    facts,
    live,
)


class Seen(msgspec.Struct):
    """How often a watcher was called, and what it saw last."""

    tick: Decimal
    books: int = 0
    prints: int = 0
    restarts: int = 0
    before: list[int] = []


class Watcher(Detector, frozen=True, kw_only=True):
    """Suspects the bids at every so many book messages."""

    every: int = 2
    confidence: float = 0.5
    low: int = 639_000
    high: int = 640_000

    def start(self, instrument):
        return Seen(tick=instrument.tick_size)

    def on_book(self, market, event, state):
        state.books += 1
        state.before = market.book.before[: len(event.levels)].tolist()
        return () if state.books % self.every else (self._finding(market, state.books),)

    def on_print(self, market, event, state):
        state.prints += 1
        return ()

    def restart(self, state):
        state.restarts += 1

    def _finding(self, market, number):
        ts = market.ts_event
        about = {"pattern": Pattern.SPOOFING, "stage": Stage.SUSPECTED, "episode": number, "side": Side.BUY}
        prices = {"low": self.low, "high": self.high}
        return Finding(
            instrument="somebody else's",
            **about,
            **prices,
            began=ts,
            ts_event=ts,
            confidence=self.confidence,
            evidence={"life_s": 2.0},
        )


class Leaning(Eager, frozen=True, kw_only=True):
    """Eager, and leans on a price."""

    price: int = 639_500

    def decide(self, view, state):
        return msgspec.structs.replace(super().decide(view, state), leans_on=self.price)


def watched(*strategies, detector=None, **changes):
    return an_engine(*strategies, detectors=(("walls", detector or Watcher()),), **changes)


def memory(engine, key=BTC):
    return engine._turn.memories[key].detectors[0]


def deltas(count, start=SECOND, key=BTC, first=2, step=MS):
    return [a_delta([(639_990, 5 + i)], ts=start + i * step, sequence=first + i, key=key) for i in range(count)]


def test_a_detector_sees_every_book_message_and_every_print_once():
    engine = watched()
    live(engine, [a_snapshot(ts=SECOND), *deltas(3), a_print(ts=2 * SECOND), a_print(ts=2 * SECOND)])
    assert (memory(engine).books, memory(engine).prints) == (4, 1)
    assert memory(engine).before == [6]


def test_a_stale_message_and_a_broken_book_are_not_shown_and_an_interruption_is_told():
    engine = watched()
    live(engine, [a_snapshot(ts=SECOND), a_delta(ts=SECOND, sequence=1), a_delta(ts=SECOND, sequence=9)])
    assert (memory(engine).books, memory(engine).restarts) == (1, 1)
    engine.step(FeedDown(instrument=BTC, ts_event=0, ts_recv=2 * SECOND, why="cut"))
    assert memory(engine).restarts == 2


def test_findings_are_facts_and_speak_for_the_detector_and_the_instrument_that_was_shown():
    steps = live(watched(instruments=[an_instrument(), an_instrument(ETH)]), [a_snapshot(key=ETH), *deltas(3, key=ETH)])
    found = [fact.finding for fact in facts(steps, FindingMade)]
    assert [(one.instrument, one.detector, one.episode) for one in found] == [(ETH, "walls", 2), (ETH, "walls", 4)]


def test_the_newest_findings_are_kept():
    engine = watched(detector=Watcher(every=1))
    live(engine, [a_snapshot(ts=SECOND), *deltas(KEPT + 20)])
    kept = engine.state.instruments[BTC].findings
    assert [one.episode for one in kept] == list(range(22, KEPT + 22))


def test_a_finding_has_its_market_and_what_price_did_afterwards():
    engine = watched(detector=Watcher(every=2))
    steps = live(engine, [a_snapshot(ts=SECOND), *deltas(1, 2 * SECOND), *deltas(70, 3 * SECOND, first=3, step=SECOND)])
    first = facts(steps, FindingMade)[0]
    assert first.circumstances.mid == 640_000.0
    assert first.circumstances.spread_bps == pytest.approx(2 / 64)
    settled = facts(steps, FindingSettled)[0]
    assert (settled.instrument, settled.detector, settled.episode) == (BTC, "walls", first.finding.episode)
    assert settled.ts_event == first.finding.ts_event
    assert settled.moves_bps == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("verdict", "confidence"), [(1.0, 0.75), (-1.0, 0.25)])
def test_what_was_judged_weighs_a_finding_that_resembles_it(verdict, confidence):
    known = Known(detector="walls", pattern=Pattern.SPOOFING, evidence={"life_s": 2.0}, verdict=verdict)
    engine = watched(Eager(), detector=Watcher(every=1), patterns=PatternLibrary(known=(known,), most=0.5))
    steps = live(engine, [a_snapshot(ts=SECOND)])
    finding = facts(steps, FindingMade)[0].finding
    assert finding.confidence == pytest.approx(confidence)
    assert finding.evidence["known_patterns"] == 1
    assert facts(steps, SignalProposed)[0].signal.doubt == pytest.approx(confidence / 2)


def test_a_signal_that_follows_a_pretence_is_weaker_in_every_record():
    engine = watched(Eager(), detector=Watcher(every=1))
    steps = live(engine, [a_snapshot(ts=SECOND)])
    (proposed,), (approved,) = facts(steps, SignalProposed), facts(steps, IntentApproved)
    assert proposed.signal == approved.intent.signal
    assert proposed.signal.strength == pytest.approx(0.75)
    assert proposed.signal.reasons[-1].startswith("strength 1.00 to 0.75: spoofing of buys")


def test_one_that_becomes_too_weak_is_passed_over():
    steps = live(watched(Eager(strength=0.6), detector=Watcher(every=1, confidence=1.0)), [a_snapshot(ts=SECOND)])
    assert [fact.reason for fact in facts(steps, SignalRefused)] == [Reason.TOO_WEAK]


def test_one_that_leans_on_it_is_vetoed_and_says_why():
    steps = live(watched(Leaning(), detector=Watcher(every=1, confidence=0.9)), [a_snapshot(ts=SECOND)])
    (refused,) = facts(steps, SignalRefused)
    assert refused.reason is Reason.MANIPULATION
    assert "spoofing of buys at 63900.0 to 64000.0" in refused.detail
    assert not [command for _, step in steps for command in step.commands if isinstance(command, SubmitOrder)]


def test_the_other_direction_is_not_held_back():
    steps = live(watched(Eager(side=-1), detector=Watcher(every=1, confidence=1.0)), [a_snapshot(ts=SECOND)])
    assert facts(steps, SignalProposed)[0].signal.strength == 1.0


def test_detectors_and_findings_are_part_of_a_snapshot():
    engine, restored = watched(Eager()), watched(Eager())
    live(engine, [a_snapshot(ts=SECOND), *deltas(3)])
    restored.restore(engine.snapshot())
    assert memory(restored) == memory(engine)
    events = deltas(5, start=9 * SECOND, first=5)
    assert [restored.step(event) for event in events] == [engine.step(event) for event in events]


def test_a_run_that_goes_on_keeps_what_its_detectors_knew_and_tells_them_of_the_pause():
    engine = watched()
    live(engine, [a_snapshot(ts=SECOND), *deltas(3)])
    books, restarts = memory(engine).books, memory(engine).restarts
    other, stranger = watched(run_epoch="1"), watched(run_epoch="1", detector=Watcher(every=3))
    other.carry(engine)
    assert (memory(other).books, memory(other).restarts) == (books, restarts + 1)
    assert other.state.instruments[BTC].findings
    live(engine := watched(), [a_snapshot(ts=SECOND), *deltas(3)])
    stranger.carry(engine)
    assert memory(stranger).books == 0


def test_on_another_grid_detectors_begin_anew():
    engine = watched()
    live(engine, [a_snapshot(ts=SECOND), *deltas(3)])
    rules = an_instrument(tick_size=Decimal("0.5"))
    engine.step(InstrumentChanged(instrument=BTC, ts_event=0, ts_recv=2 * SECOND, rules=rules))
    assert memory(engine) == Seen(tick=Decimal("0.5"))
    assert engine.state.instruments[BTC].findings == []
    live(engine, [a_snapshot(ts=3 * SECOND)])
    assert memory(engine).books == 1


# --- feature sets -----------------------------------------------------------------------------------------------------


class Counted(msgspec.Struct):
    """Messages since the last interruption."""

    books: int = 0
    prints: int = 0
    restarts: int = 0


class Counts(FeatureSet, frozen=True, kw_only=True):
    """How much was seen; warm from `enough` on."""

    version = "counts-1"
    definitions: ClassVar = {
        "books": Definition("book messages", "count", "all", "book", -1.0),
        "prints": Definition("prints", "count", "all", "tape"),
    }
    enough: int = 2

    def start(self, instrument):
        return Counted()

    def on_book(self, market, state):
        state.books += 1

    def on_print(self, market, event, state):
        state.prints += 1

    def restart(self, state):
        state.books = state.prints = 0
        state.restarts += 1

    def read(self, market, now, state, out, warm):
        if state.books >= self.enough:
            out[:], warm[:] = (state.books, state.prints), True


class Curious(Eager, frozen=True, kw_only=True):
    """Says what it read of a feature set; wants in once that is warm."""

    def decide(self, view, state):
        counts = view.further["counts"]
        if not counts.is_warm("books", "prints"):
            return None
        return msgspec.structs.replace(super().decide(view, state), reasons=(f"{counts.of('books'):.0f} books",))


def counting(*strategies, **changes):
    return an_engine(*strategies, feature_sets=(("counts", Counts()),), **changes)


def test_a_strategy_reads_a_further_set_by_its_name_and_its_numbers_are_recorded_with_the_110():
    steps = live(counting(Curious()), [a_snapshot(ts=SECOND), a_print(ts=SECOND), *deltas(2)])
    assert facts(steps, SignalProposed)[0].signal.reasons == ("2 books",)
    numbers = facts(steps, EntryFeatures)[0].features
    assert (numbers["counts.books"], numbers["counts.prints"]) == (2.0, 1.0)
    assert len(numbers) == 110 + 2


def test_what_is_not_warm_is_neutral():
    engine = counting()
    live(engine, [a_snapshot(ts=SECOND)])
    state = engine.state.instruments[BTC]
    vector = Further(engine._turn.feature_sets(BTC), state.market, SECOND)["counts"]
    assert vector.as_dict() == {"books": -1.0, "prints": 0.0}
    assert not vector.is_warm("books")
    assert vector.ts_event == SECOND


def test_an_unknown_set_or_name_is_refused_with_those_that_there_are():
    engine = counting()
    further = Further(engine._turn.feature_sets(BTC), engine.state.instruments[BTC].market, SECOND)
    with pytest.raises(KeyError, match="no feature set rolling is configured; configured: counts"):
        further["rolling"]
    with pytest.raises(KeyError, match="trades is not in counts-1: it has books, prints"):
        further["counts"].of("trades")


def test_feature_sets_are_told_of_interruptions_and_part_of_a_snapshot_and_of_the_next_run():
    engine, restored, other = counting(), counting(), counting(run_epoch="1")
    live(
        engine,
        [a_snapshot(ts=SECOND), a_delta(ts=SECOND, sequence=9), a_snapshot(ts=2 * SECOND), *deltas(2, 3 * SECOND)],
    )
    known = engine._turn.memories[BTC].feature_sets[0]
    assert (known.books, known.restarts) == (3, 2)
    restored.restore(engine.snapshot())
    assert restored._turn.memories[BTC].feature_sets[0] == known
    other.carry(engine)
    assert other._turn.memories[BTC].feature_sets[0] == Counted(restarts=3)


# --- levels -----------------------------------------------------------------------------------------------------------


def swinging(seconds=240, reach=1_500):
    """A market that swings between the same two prices every forty seconds, with a print at every step."""
    yield a_snapshot(ts=SECOND)
    for i in range(1, seconds * 4):
        ts, mid = SECOND + i * SECOND // 4, 640_000 + round(reach * math.sin(i * math.tau / 160))
        yield a_print(mid, 50, Side.BUY, ts, i)
        yield msgspec.structs.replace(a_snapshot(mid, ts + MS, i + 1), previous_sequence=i)


def test_levels_that_price_has_tested_are_facts():
    engine, market = an_engine(), fresh_market(an_engine().config, an_instrument())
    expected = []
    events = list(swinging())
    for event in events:
        if isinstance(event, TradePrint):
            market.apply_print(event)
        else:
            market.apply_book(event)
            expected += market.tested
        if market.ts_event >= market.next_candle_end:
            market.advance(market.ts_event)
    steps = live(engine, events)
    assert facts(steps, LevelTested) == expected
    assert expected
