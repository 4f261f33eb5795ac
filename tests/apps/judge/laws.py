"""The law of planting, for made and for recorded sessions."""

from collections import Counter, defaultdict, deque

import numpy as np

from stakan.apps.judge.injection import inject
from stakan.core.domain.events import TradePrint
from stakan.core.domain.units import Side
from stakan.core.market.book import Book


def planted_by(scripts):
    """Planted lots that come with each recorded message, and those of additional messages by time."""
    riding, own = defaultdict(Counter), defaultdict(Counter)
    for script in scripts:
        for change in script.changes:
            (own[change.ts] if change.ts else riding[change.message])[change.side, change.price] += change.lots
    return riding, own


def without(levels, planted, side):
    """A side's levels less the planted lots."""
    mine = levels.copy()
    for (of, price), lots in planted.items():
        if of is side and lots:
            mine[mine[:, 0] == price, 1] -= lots
    return mine[mine[:, 1] != 0]


def assert_minus_plants_is_the_recording(ground, scripts):
    """Follow both streams; take the planted lots off the one and find the other, after every message."""
    riding, own = planted_by(scripts)
    original, seen, planted = Book(ground.instrument.id), Book(ground.instrument.id), Counter()
    recorded = deque(event for event in ground.events if not isinstance(event, TradePrint))
    message, last_sequence, last_recv = -1, None, 0
    for event in inject(ground, scripts):
        assert event.ts_recv >= last_recv
        last_recv = event.ts_recv
        if isinstance(event, TradePrint):
            continue
        if last_sequence is not None:
            # As strict as the recording: a first delta may begin before its snapshot.
            assert event.previous_sequence <= last_sequence < event.sequence
        last_sequence = event.sequence
        assert seen.apply(event) is None
        assert seen.is_fresh
        assert seen.is_usable
        if event.ts_event in own and not (recorded and recorded[0].ts_event == event.ts_event):
            planted.update(own.pop(event.ts_event))
        else:
            message += 1
            assert original.apply(recorded.popleft()) is None
            planted.update(riding.pop(message, {}))
        assert min(planted.values(), default=0) >= 0
        for side in (Side.BUY, Side.SELL):
            assert np.array_equal(without(seen.depth(side), planted, side), original.depth(side))
    assert not recorded
    assert not riding
    assert not own
    assert not any(planted.values())
