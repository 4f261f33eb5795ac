"""The law of planting, for made and for recorded sessions."""

from collections import Counter, defaultdict

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


def levels(book, side):
    return dict(map(tuple, book.depth(side).tolist()))


def assert_minus_plants_is_the_recording(ground, scripts):
    """Follow both streams; take the planted lots off the one and find the other, after every message."""
    riding, own = planted_by(scripts)
    original, seen, planted = Book(ground.instrument.id), Book(ground.instrument.id), Counter()
    recorded = iter([event for event in ground.events if not isinstance(event, TradePrint)])
    message, last_sequence, last_recv = -1, None, 0
    for event in inject(ground, scripts):
        assert event.ts_recv >= last_recv
        last_recv = event.ts_recv
        if isinstance(event, TradePrint):
            continue
        if last_sequence is not None:
            assert event.previous_sequence == last_sequence
        last_sequence = event.sequence
        assert seen.apply(event) is None
        assert seen.is_fresh
        assert seen.is_usable
        if event.ts_event in own:
            planted.update(own.pop(event.ts_event))
        else:
            message += 1
            assert original.apply(next(recorded)) is None
            planted.update(riding.pop(message, {}))
        assert min(planted.values(), default=0) >= 0
        for side in (Side.BUY, Side.SELL):
            mine = levels(seen, side)
            for (of, price), lots in planted.items():
                if of is side and lots:
                    mine[price] -= lots
                    if not mine[price]:
                        del mine[price]
            assert mine == levels(original, side)
    assert next(recorded, None) is None
    assert not riding
    assert not own
    assert not any(planted.values())
