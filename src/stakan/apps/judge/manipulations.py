"""Plans of the four shapes that detectors should find, in three tiers (decision 24).

A planner draws one episode that begins with a given message, or answers None where the recording does not allow it:
nobody pretends with an order that is about to be hit, so an episode whose levels the market would reach is drawn again
at another moment. The response of the price is not written but chosen: the recording moves as it moved.
"""

from typing import NamedTuple

from numpy.random import Generator

from stakan.apps.judge import drawing
from stakan.apps.judge.background import Background
from stakan.apps.judge.episodes import Episode, Family
from stakan.apps.judge.scripts import Draft, Script
from stakan.core.domain.units import MILLISECOND, Nanos, Side, Ticks

Span = tuple[float, float]


class Spoof(NamedTuple):
    """Ranges of one tier of spoofing."""

    multiple: Span
    """Of the median size of the side's nearest 50 levels."""
    distance: int
    """At most so many ticks from the touch."""
    life: Span
    """Seconds that one placement stands."""
    repeats: tuple[int, int]
    execution: float
    """Chance that the opposite side trades meanwhile."""


SPOOFS = {
    1: Spoof((10, 30), 5, (0.2, 2), (1, 1), 1.0),
    2: Spoof((5, 10), 10, (0.2, 5), (2, 4), 0.5),
    3: Spoof((3, 5), 20, (0.2, 10), (1, 1), 0.5),
}
_RESPONSE = 0.5
"""Chance that a moment is wanted at which the price moved as the pretended side suggests."""
_PAUSE = (0.2, 2.0)


def spoofing(ground: Background, rng: Generator, tier: int, first: int) -> Script | None:
    """One order size, shown 1 to 20 ticks from the touch and withdrawn untraded; in tier 2 several times."""
    ranges, side = SPOOFS[tier], drawing.side(rng)
    multiple = rng.uniform(*ranges.multiple)
    lots = drawing.lots(multiple, int(ground.reference[side][first]))
    distance = drawing.whole(rng, 1, ranges.distance)
    draft, prices, last = Draft(ground), [], first
    repeats = drawing.whole(rng, *ranges.repeats)
    executed = drawing.whole(rng, 0, repeats - 1) if rng.random() < ranges.execution else -1
    for number in range(repeats):
        placed = first if number == 0 else drawing.message_after(ground, last, rng.uniform(*_PAUSE))
        gone = drawing.message_after(ground, placed, drawing.log_uniform(rng, *ranges.life)) if placed else None
        if placed is None or gone is None:
            return None
        price = int(ground.touch[side][placed]) - side * distance
        if not ground.is_untraded(side, price, placed, gone):
            return None
        if number == executed and not _execution(draft, rng, side.opposite, placed, gone):
            return None
        draft.stand(side, price, lots, placed, gone)
        prices.append(price)
        last = gone
    response = ground.move(side, first, last)
    if rng.random() < _RESPONSE and response < 1:
        return None
    parameters = {"multiple": multiple, "lots": lots, "distance_ticks": distance, "repeats": repeats}
    parameters |= {"executed": float(executed >= 0), "response_ticks": response}
    return draft.between(Family.SPOOFING, tier, side, prices, first, last, parameters)


class Layers(NamedTuple):
    """Ranges of one tier of layering."""

    multiple: Span
    spread: Span
    """Seconds from the first layer to the last; 0 is all with one message."""
    one_by_one: float
    """Chance that they are withdrawn one after the other."""
    execution: float


LAYERINGS = {
    1: Layers((5, 10), (0.0, 0.0), 0.0, 1.0),
    2: Layers((4, 8), (0.2, 2.0), 0.5, 0.5),
    3: Layers((3, 5), (2.0, 6.0), 1.0, 0.5),
}
_STANDING = (0.5, 4.0)
"""Seconds that all layers stand together."""
_WITHDRAWING = (0.1, 1.0)


def layering(ground: Background, rng: Generator, tier: int, first: int) -> Script | None:
    """Three to eight levels of one side, of equal or rising size, withdrawn untraded."""
    ranges, side = LAYERINGS[tier], drawing.side(rng)
    count, step = drawing.whole(rng, 3, 8), drawing.whole(rng, 1, 2)
    nearest = drawing.whole(rng, 1, 4)
    multiple, growth = rng.uniform(*ranges.multiple), 1.0 + (0.15 if rng.random() < 0.5 else 0.0)
    spread, standing = rng.uniform(*ranges.spread), rng.uniform(*_STANDING)
    withdrawing = rng.uniform(*_WITHDRAWING) if rng.random() < ranges.one_by_one else 0.0
    draft, prices = Draft(ground), []
    reference, touch = int(ground.reference[side][first]), int(ground.touch[side][first])
    last = first
    for layer in range(count):
        part = layer / (count - 1)
        placed = _so_far(ground, first, spread * part)
        gone = _so_far(ground, first, spread + standing + withdrawing * part)
        if placed is None or gone is None:
            return None
        price = touch - side * (nearest + step * layer)
        if not ground.is_untraded(side, price, placed, gone):
            return None
        draft.stand(side, price, drawing.lots(multiple * growth**layer, reference), placed, gone)
        prices.append(price)
        last = max(last, gone)
    has_execution = rng.random() < ranges.execution
    if has_execution and not _execution(draft, rng, side.opposite, first, last):
        return None
    parameters = {"layers": count, "multiple": multiple, "spread_s": spread, "withdrawing_s": withdrawing}
    parameters |= {"executed": float(has_execution), "response_ticks": ground.move(side, first, last)}
    return draft.between(Family.LAYERING, tier, side, prices, first, last, parameters)


class Stuffing(NamedTuple):
    """Ranges of one tier of quote stuffing."""

    rate: Span
    """Level updates a second."""
    length: Span
    """Seconds."""


STUFFINGS = {1: Stuffing((1_000, 2_000), (1, 5)), 2: Stuffing((500, 1_000), (0.5, 3)), 3: Stuffing((50, 500), (0.1, 1))}
_STUFFING_EVERY_S = 0.01
"""Spacing of its messages: what the liquid feeds do at their busiest."""
_NEAREST_STUFFED = 2


def quote_stuffing(ground: Background, rng: Generator, tier: int, first: int) -> Script | None:
    """Levels of both sides flip on and off with messages of their own; in the end nothing has changed."""
    ranges = STUFFINGS[tier]
    rate, length = drawing.log_uniform(rng, *ranges.rate), drawing.log_uniform(rng, *ranges.length)
    every = max(_STUFFING_EVERY_S, 1 / rate)
    each = max(1, round(rate * every))
    last = drawing.message_after(ground, first, length)
    if last is None:
        return None
    levels = [
        (side, int(ground.touch[side][first]) - side * (_NEAREST_STUFFED + number))
        for number in range(max(5, each))
        for side in (Side.BUY, Side.SELL)
    ]
    if not all(ground.is_untraded(side, price, first, last) for side, price in levels):
        return None
    draft, standing = Draft(ground), dict[tuple[Side, int], int]()
    began, ended, turn, number = int(ground.ts[first]), int(ground.ts[last]), 0, 1
    while (ts := began + round(number * every * 1e9)) < ended:
        message = ground.message_at(ts + 1)
        for side, price in (levels[(turn + k) % len(levels)] for k in range(each)):
            lots = standing.pop((side, price), 0)
            if lots:
                draft.change(side, price, -lots, message, ts)
            else:
                standing[side, price] = drawing.lots(rng.uniform(0.2, 2), int(ground.reference[side][first]))
                draft.change(side, price, standing[side, price], message, ts)
        turn, number = turn + each, number + 1
    for (side, price), lots in standing.items():
        draft.change(side, price, -lots, last)
    prices = [price for _, price in levels]
    parameters = {"updates_per_s": rate, "length_s": length}
    return draft.between(Family.QUOTE_STUFFING, tier, None, prices, first, last, parameters)


class Wash(NamedTuple):
    """Ranges of one tier of wash trading."""

    multiple: Span
    """Of the median size of a print."""
    pairs: tuple[int, int]
    within: Span
    """Seconds from the first pair to the last."""


WASHES = {
    1: Wash((20, 100), (5, 10), (0.3, 1.0)),
    2: Wash((5, 20), (3, 5), (0.3, 2.0)),
    3: Wash((1, 5), (2, 2), (0.3, 3.0)),
}


def wash_trading(ground: Background, rng: Generator, tier: int, first: int) -> Script | None:
    """Pairs of opposite prints of equal size at one price, which the touch of that side keeps meanwhile."""
    ranges, side = WASHES[tier], drawing.side(rng)
    pairs, within = drawing.whole(rng, *ranges.pairs), rng.uniform(*ranges.within)
    last = drawing.message_after(ground, first, within)
    price = int(ground.touch[side][first])
    if last is None or not (ground.touch[side][first : last + 1] == price).all():
        return None
    multiple = rng.uniform(*ranges.multiple)
    draft, moments = Draft(ground), []
    for message in sorted(drawing.whole(rng, first + 1, last) for _ in range(pairs)):
        lots = drawing.lots(multiple * rng.uniform(0.8, 1.2), ground.print_lots)
        one = drawing.side(rng)
        share = rng.uniform(0.1, 0.8)
        moments.append(draft.print_before(message, price, lots, one, share))
        moments.append(draft.print_before(message, price, lots, one.opposite, share + 0.1))
    began, ended = Nanos(min(moments)), Nanos(max(moments))
    truth = Episode(
        family=Family.WASH_TRADING,
        tier=tier,
        side=None,
        low=Ticks(price),
        high=Ticks(price),
        began=began,
        cancelled=ended,
        ended=ended,
        parameters={"pairs": pairs, "multiple": multiple},
    )
    return draft.script(truth)


def _execution(draft: Draft, rng: Generator, side: Side, first: int, last: int) -> bool:
    """The small order that all this is for: joins the touch of the other side and is filled; False where it cannot."""
    ground = draft.ground
    if last - first < 2:
        return False
    placed = drawing.whole(rng, first, last - 2)
    filled = drawing.whole(rng, placed + 1, min(last - 1, placed + 1 + int((last - placed) / 2)))
    price = int(ground.touch[side][placed])
    if not (ground.touch[side][placed:filled] == price).all():
        return False
    lots = drawing.lots(rng.uniform(0.5, 3), int(ground.reference[side][placed]))
    draft.stand(side, price, lots, placed, filled)
    pieces = min(lots, drawing.whole(rng, 1, 3))
    for number, size in enumerate(drawing.pieces(lots, pieces)):
        draft.print_before(filled, price, size, side.opposite, 0.3 + 0.2 * number)
    return True


def _so_far(ground: Background, first: int, seconds: float) -> int | None:
    found = ground.message_at(int(ground.ts[first]) + round(seconds * 1_000) * MILLISECOND)
    return max(first, found) if found < len(ground.ts) else None
