"""Plans of what looks like a manipulation and is none: the market's ordinary reasons to show and withdraw size.

Sizes are those of tier 1 and 2 manipulations, so that size alone separates nothing.
"""

from numpy.random import Generator

from stakan.apps.judge import drawing
from stakan.apps.judge.background import Background
from stakan.apps.judge.episodes import Family
from stakan.apps.judge.scripts import Draft, Script
from stakan.core.domain.units import Side

_SIZES = (3.0, 10.0)
"""Times the median size of the side's nearest 50 levels."""
_LARGE_SIZES = (5.0, 30.0)
_AT_LEAST_S = 0.5
"""What stands for stop and funding comes one by one, at least so far apart."""


def requote(ground: Background, rng: Generator, tier: int, first: int) -> Script | None:
    """A quote at the touch is hit in part, and moves one to three ticks back at once; up to three times."""
    side = drawing.side(rng)
    lots = left = drawing.lots(rng.uniform(*_SIZES), int(ground.reference[side][first]))
    draft, placed = Draft(ground), first
    price, prices = int(ground.touch[side][first]), []
    for _ in range(drawing.whole(rng, 1, 3)):
        moved = drawing.message_after(ground, placed, rng.uniform(0.1, 1.5))
        hit = drawing.lots(rng.uniform(0.1, 0.3), lots)
        if moved is None or hit >= left or not _is_touch(ground, side, price, placed, moved):
            return None
        draft.stand(side, price, left, placed, moved)
        draft.print_before(moved, price, hit, side.opposite)
        prices.append(price)
        left -= hit
        price, placed = int(ground.touch[side][moved]) - side * drawing.whole(rng, 1, 3), moved
        if ground.touch[side][moved] != price:
            break
    last = drawing.message_after(ground, placed, rng.uniform(3, 10))
    if last is None or not ground.is_untraded(side, price, placed, last):
        return None
    draft.stand(side, price, left, placed, last)
    return draft.between(Family.REQUOTE, tier, side, [*prices, price], first, last, {"lots": lots})


def iceberg(ground: Background, rng: Generator, tier: int, first: int) -> Script | None:
    """A level at the touch that is eaten and comes back three to eight times, until it is used up."""
    side = drawing.side(rng)
    lots = drawing.lots(rng.uniform(*_SIZES), int(ground.reference[side][first]))
    price = int(ground.touch[side][first])
    draft, shown, eaten, refills = Draft(ground), first, first, drawing.whole(rng, 3, 8)
    for _ in range(refills):
        found = drawing.message_after(ground, shown, rng.uniform(0.1, 0.5))
        if found is None or found + 1 >= len(ground.ts) or not _is_touch(ground, side, price, shown, found):
            return None
        eaten = found
        draft.stand(side, price, lots, shown, eaten)
        draft.print_before(eaten, price, lots, side.opposite)
        shown = eaten + 1
    parameters: dict[str, float] = {"lots": lots, "refills": refills}
    return draft.between(Family.ICEBERG, tier, side, [price], first, eaten, parameters)


def stop_cascade(ground: Background, rng: Generator, tier: int, first: int) -> Script | None:
    """Levels that came one by one are pulled within half a second, while trades burst into the touch before them.

    The moment is one at which the recording's price then moved towards them.
    """
    side, draft = drawing.side(rng), Draft(ground)
    count = drawing.whole(rng, 3, 6)
    waits = _AT_LEAST_S + rng.exponential(0.5, count)
    burst = drawing.message_after(ground, first, float(waits.sum()))
    pulled = drawing.message_after(ground, burst, 0.5) if burst else None
    if burst is None or pulled is None or ground.move(side, burst, pulled) > -1:
        return None
    prices, elapsed = [], 0.0
    for number in range(count):
        placed = first if number == 0 else drawing.message_after(ground, first, elapsed)
        elapsed += waits[number]
        gone = drawing.whole(rng, burst + 1, pulled)
        if placed is None:
            return None
        price = int(ground.touch[side][placed]) - side * drawing.whole(rng, 1, 12)
        if not ground.is_untraded(side, price, placed, gone):
            return None
        lots = drawing.lots(rng.uniform(*_SIZES), int(ground.reference[side][placed]))
        draft.stand(side, price, lots, placed, gone)
        prices.append(price)
    touch = int(ground.touch[side][burst - 1])
    sizes = [drawing.lots(rng.uniform(2, 10), ground.print_lots) for _ in range(drawing.whole(rng, 5, 15))]
    if not _is_touch(ground, side, touch, burst - 1, burst):
        return None
    draft.stand(side, touch, sum(sizes), burst - 1, burst)
    for number, size in enumerate(sizes):
        draft.print_before(burst, touch, size, side.opposite, number / len(sizes))
    return draft.between(Family.STOP_CASCADE, tier, side, prices, first, pulled, {"levels": count})


def funding_pull(ground: Background, rng: Generator, tier: int, first: int) -> Script | None:
    """Three to six levels on each side come over seconds and leave with one message."""
    draft, prices = Draft(ground), []
    count = drawing.whole(rng, 3, 6)
    last = drawing.message_after(ground, first, count * 2 * _AT_LEAST_S + rng.uniform(1, 4))
    if last is None:
        return None
    for number in range(2 * count):
        side = Side.BUY if number % 2 else Side.SELL
        placed = first if number == 0 else drawing.message_after(ground, first, number * _AT_LEAST_S)
        if placed is None or placed >= last:
            return None
        price = int(ground.touch[side][placed]) - side * drawing.whole(rng, 2, 15)
        if not ground.is_untraded(side, price, placed, last):
            return None
        lots = drawing.lots(rng.uniform(*_SIZES), int(ground.reference[side][placed]))
        draft.stand(side, price, lots, placed, last)
        prices.append(price)
    return draft.between(Family.FUNDING_PULL, tier, None, prices, first, last, {"levels": 2 * count})


def large_genuine(ground: Background, rng: Generator, tier: int, first: int) -> Script | None:
    """A large order waits up to five ticks from the touch, and when the market comes it is filled to the last lot."""
    side = drawing.side(rng)
    price = int(ground.touch[side][first]) - side * drawing.whole(rng, 0, 5)
    latest = drawing.message_after(ground, first, 10.0)
    earliest = drawing.message_after(ground, first, 0.2)
    if latest is None or earliest is None:
        return None
    arrived = next((k for k in range(earliest, latest) if ground.touch[side][k] == price), None)
    multiple = rng.uniform(*_LARGE_SIZES)
    lots = drawing.lots(multiple, int(ground.reference[side][first]))
    pieces = min(lots, drawing.whole(rng, 3, 10))
    if arrived is None or arrived + pieces >= len(ground.ts):
        return None
    last = arrived + pieces
    if not (ground.stays_behind(side, price, first, arrived) and _is_touch(ground, side, price, arrived, last)):
        return None
    draft = Draft(ground)
    draft.change(side, price, lots, first)
    for number, size in enumerate(drawing.pieces(lots, pieces)):
        draft.print_before(arrived + 1 + number, price, size, side.opposite)
        draft.change(side, price, -size, arrived + 1 + number)
    parameters = {"multiple": multiple, "lots": lots, "pieces": pieces}
    return draft.between(Family.LARGE_GENUINE, tier, side, [price], first, last, parameters)


def _is_touch(ground: Background, side: Side, price: int, first: int, last: int) -> bool:
    """Whether a price is the touch of its side after all messages [first, last)."""
    return bool((ground.touch[side][first:last] == price).all())
