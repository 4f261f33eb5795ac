"""The tape against a plain list of prints."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.market.builders import a_print, bytes_of, restored

from stakan.core.domain.units import SECOND, Side
from stakan.core.market.tape import KEEP_NS, Flow, Tape

prints = st.lists(
    st.builds(
        a_print,
        ts=st.integers(1, 60),
        price=st.integers(900, 1_100),
        size=st.integers(1, 50),
        side=st.sampled_from(Side),
        trade_id=st.integers(1, 40),
        is_rpi=st.booleans(),
    ),
    max_size=60,
)


def a_tape(events):
    tape = Tape()
    for event in events:
        tape.update(event)
    return tape


def once(events):
    """The first print of every id."""
    seen = {}
    for event in events:
        seen.setdefault(event.trade_id, event)
    return list(seen.values())


def sums(events, now, span, at_least=0.0):
    """The oracle of `window`."""
    inside = [e for e in events if now - span < e.ts_event <= now and e.size >= at_least]
    buys = [e for e in inside if e.side is Side.BUY and not e.is_rpi]
    sells = [e for e in inside if e.side is Side.SELL and not e.is_rpi]
    rpi = [e for e in inside if e.is_rpi]
    return Flow(
        sum(e.size for e in buys),
        sum(e.size for e in sells),
        float(sum(e.size * e.price for e in buys)),
        float(sum(e.size * e.price for e in sells)),
        len(buys),
        len(sells),
        sum(e.size for e in rpi),
        len(rpi),
    )


@given(prints, st.integers(0, 70), st.integers(0, 70), st.integers(0, 40))
def test_a_window_sums_the_prints_of_its_stretch_of_exchange_time(events, now, span, at_least):
    tape = a_tape(events)
    assert tape.window(now, span) == sums(once(events), now, span)
    assert tape.window(now, span, at_least) == sums(once(events), now, span, at_least)


@given(prints)
def test_prints_stand_in_order_of_exchange_time_and_ties_in_order_of_arrival(events):
    tape = a_tape(events)
    ordered = sorted(once(events), key=lambda e: e.ts_event)
    rows = slice(tape.start, tape.end)
    assert tape.ids[rows].tolist() == [e.trade_id for e in ordered]
    assert tape.times[rows].tolist() == [e.ts_event for e in ordered]
    assert tape.prices[rows].tolist() == [e.price for e in ordered]
    assert tape.sizes[rows].tolist() == [e.size for e in ordered]
    assert tape.last == ((ordered[-1].price, ordered[-1].size, ordered[-1].side) if ordered else None)
    assert tape.prices[tape.since(30)].tolist() == [e.price for e in ordered if e.ts_event > 30]


@given(prints)
def test_every_print_is_kept_or_counted_as_a_duplicate(events):
    tape = a_tape(events)
    assert len(tape) + tape.duplicates == len(events)


@given(prints)
def test_late_prints_are_counted(events):
    newest, late = 0, 0
    for event in once(events):
        late += event.ts_event < newest
        newest = max(newest, event.ts_event)
    assert a_tape(events).out_of_order == late


@given(prints, st.sampled_from([0.0, 0.5, 0.95, 1.0]), st.integers(1, 60))
def test_the_size_percentile_is_numpys_over_the_newest_ordinary_prints(events, share, count):
    ordered = sorted((e for e in once(events)), key=lambda e: e.ts_event)
    sizes = [e.size for e in ordered if not e.is_rpi][-count:]
    expected = np.percentile(sizes, share * 100) if sizes else 0.0
    assert np.isclose(a_tape(events).large_size(share, count), expected, rtol=1e-12)


@given(prints, prints)
def test_a_tape_survives_the_trip_through_bytes_and_goes_on_alike(before, after):
    tape = a_tape(before)
    twin = restored(tape)
    for event in after:
        tape.update(event)
        twin.update(event)
    assert bytes_of(twin) == bytes_of(tape)


@settings(max_examples=15)
@given(st.integers(2_000, 5_000), st.integers(1, 90), st.integers(0, 40))
def test_a_busy_market_keeps_two_minutes_and_a_quiet_one_a_thousand_prints(count, gap_ms, jitter):
    """Through growth, dropping and moving to the front the newest prints stay, in order."""
    gap = gap_ms * 1_000_000
    events = [a_print(ts=(i + i * 7 % (jitter + 1)) * gap, size=1 + i % 9, trade_id=i) for i in range(count)]
    tape = a_tape(events)
    newest = max(e.ts_event for e in events)
    assert len(tape) >= 1_024
    window = min(KEEP_NS, int(newest - tape.times[tape.start]))
    assert tape.window(newest, window) == sums(events, newest, window)
    young = sum(e.ts_event > newest - KEEP_NS for e in events)
    assert len(tape) >= young
    assert tape.known.keys() == set(tape.ids[tape.start : tape.end].tolist())
    assert (np.diff(tape.times[tape.start : tape.end]) >= 0).all()


def test_memory_is_bounded_in_the_busiest_market():
    tape = Tape()
    for i in range(140_000):
        tape.update(a_print(ts=1_000_000 + i, trade_id=i))
    assert len(tape) == 65_536
    assert len(tape.times) == 2 * 65_536
    assert len(tape.known) == 65_536
    assert not tape.reaches(1_000_000)
    assert tape.reaches(1_000_000 + 140_000 - 65_536)


def test_it_reaches_back_to_the_first_print_after_a_start_or_an_interruption():
    tape = a_tape([a_print(ts=10, trade_id=1)])
    assert (tape.reaches(9), tape.reaches(10), Tape().reaches(10)) == (False, True, False)
    tape.interrupt()
    assert not tape.reaches(10)
    tape.update(a_print(ts=20, trade_id=2))
    assert (tape.reaches(19), tape.reaches(20)) == (False, True)


def test_prints_later_than_now_are_not_in_the_window():
    tape = a_tape([a_print(ts=SECOND, trade_id=1), a_print(ts=3 * SECOND, trade_id=2)])
    assert tape.window(2 * SECOND, 2 * SECOND).count == 1
