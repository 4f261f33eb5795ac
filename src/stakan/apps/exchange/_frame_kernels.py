"""Numeric kernels of book frames: what changed in the best levels, written as compact JSON into a buffer of bytes.

A published side is a run of rows (price in ticks, size in lots) with the **best level first**, `shown` of shape
(2, depth, 2) and `shown_counts` of shape (2,); the book that it is compared with has the layout of
`core.market._book_kernels` (best level last). Side 0 is bids, side 1 asks.

Decimals are written from whole ticks and lots: `scales` is (decimals, unit) of prices, then of sizes, so that a tick
of 0.5 is (1, 5).
"""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

LEVEL_ROOM = 56
"""Bytes that a level can need: two numbers of 20 digits and a point, quotes, brackets, commas."""
ENVELOPE_ROOM = 512

_QUOTE = ord('"')
_COMMA = ord(",")
_POINT = ord(".")
_ZERO = ord("0")
_OPEN = ord("[")
_CLOSE = ord("]")
_NEXT_SIDE = np.frombuffer(b'],"a":[', np.uint8)
_UPDATE_ID = np.frombuffer(b'],"u":', np.uint8)
_CROSS_SEQUENCE = np.frombuffer(b',"seq":', np.uint8)
_STATE_TIME = np.frombuffer(b'},"cts":', np.uint8)
_END = ord("}")


@kernel
def put_text(out: Bytes, at: int, text: Bytes) -> int:
    """Copy bytes; returns the place after them."""
    for i in range(len(text)):
        out[at + i] = text[i]
    return at + len(text)


@kernel
def put_number(out: Bytes, at: int, value: int, decimals: int) -> int:
    """A number of 10^-decimals that is not negative; returns the place after it."""
    rest = np.uint64(value)
    ten = np.uint64(10)
    size = 1
    over = rest // ten
    while over > np.uint64(0):
        size += 1
        over //= ten
    if decimals > 0:
        size = max(size, decimals + 1) + 1
    for place in range(at + size - 1, at - 1, -1):
        if decimals > 0 and place == at + size - 1 - decimals:
            out[place] = _POINT
        else:
            over = rest // ten
            out[place] = _ZERO + np.uint8(rest - over * ten)
            rest = over
    return at + size


@kernel
def put_level(out: Bytes, at: int, price: int, size: int, scales: Ints) -> int:
    """`["price","size"],`; a size of 0 is written without decimals, as the protocol's delete is."""
    out[at] = _OPEN
    out[at + 1] = _QUOTE
    at = put_number(out, at + 2, price * scales[1], scales[0])
    out[at] = _QUOTE
    out[at + 1] = _COMMA
    out[at + 2] = _QUOTE
    at = put_number(out, at + 3, size * scales[3], scales[2] if size > 0 else 0)
    out[at] = _QUOTE
    out[at + 1] = _CLOSE
    out[at + 2] = _COMMA
    return at + 3


@kernel
def put_changes(
    out: Bytes, at: int, side: Ints, count: int, shown: Ints, shown_count: int, sign: int, scales: Ints
) -> int:
    """Levels of one side that differ from what is shown, best first; what fell out of the window is deleted."""
    depth = shown.shape[0]
    now = 0
    last = min(count, depth)
    old = 0
    while now < last or old < shown_count:
        row = count - 1 - now
        if old == shown_count or (now < last and sign * side[row, 0] > sign * shown[old, 0]):
            at = put_level(out, at, side[row, 0], side[row, 1], scales)
            now += 1
        elif now == last or side[row, 0] != shown[old, 0]:
            at = put_level(out, at, shown[old, 0], 0, scales)
            old += 1
        else:
            if side[row, 1] != shown[old, 1]:
                at = put_level(out, at, side[row, 0], side[row, 1], scales)
            now += 1
            old += 1
    return at


@kernel
def show(sides: Ints, counts: Ints, shown: Ints, shown_counts: Ints) -> bool:
    """Take over the best levels of a book; returns whether that changes anything."""
    changed = False
    for which in range(2):
        count = counts[which]
        size = min(count, shown.shape[1])
        if size != shown_counts[which]:
            changed = True
            shown_counts[which] = size
        for i in range(size):
            row = count - 1 - i
            price = sides[which, row, 0]
            lots = sides[which, row, 1]
            if shown[which, i, 0] != price or shown[which, i, 1] != lots:
                changed = True
                shown[which, i, 0] = price
                shown[which, i, 1] = lots
    return changed


@kernel
def put_tail(out: Bytes, at: int, u: int, seq: int, cts: int) -> int:
    """From the end of the asks to the end of the frame."""
    at = put_text(out, at, _UPDATE_ID)
    at = put_number(out, at, u, 0)
    at = put_text(out, at, _CROSS_SEQUENCE)
    at = put_number(out, at, seq, 0)
    at = put_text(out, at, _STATE_TIME)
    at = put_number(out, at, cts, 0)
    out[at] = _END
    return at + 1


@kernel
def delta_frame(  # noqa: PLR0913, PLR0917 - a kernel takes arrays, not objects
    out: Bytes,
    head: Bytes,
    middle: Bytes,
    sides: Ints,
    counts: Ints,
    shown: Ints,
    shown_counts: Ints,
    scales: Ints,
    ts: int,
    u: int,
    seq: int,
    cts: int,
) -> int:
    """Write what changed and take it over into `shown`; returns the frame's length, 0 where nothing changed.

    `head` is everything before the number of `ts`, `middle` everything from there to the first bid.
    """
    at = put_text(out, 0, head)
    at = put_number(out, at, ts, 0)
    at = put_text(out, at, middle)
    bids = at
    at = put_changes(out, at, sides[0], counts[0], shown[0], shown_counts[0], 1, scales)
    changed = at > bids
    if changed:
        at -= 1
    at = put_text(out, at, _NEXT_SIDE)
    asks = at
    at = put_changes(out, at, sides[1], counts[1], shown[1], shown_counts[1], -1, scales)
    if at > asks:
        at -= 1
    elif not changed:
        return 0
    show(sides, counts, shown, shown_counts)
    return put_tail(out, at, u, seq, cts)


@kernel
def snapshot_frame(  # noqa: PLR0913, PLR0917 - a kernel takes arrays, not objects
    out: Bytes,
    head: Bytes,
    middle: Bytes,
    shown: Ints,
    shown_counts: Ints,
    scales: Ints,
    ts: int,
    u: int,
    seq: int,
    cts: int,
) -> int:
    """Write all that is shown; returns the frame's length."""
    at = put_text(out, 0, head)
    at = put_number(out, at, ts, 0)
    at = put_text(out, at, middle)
    for which in range(2):
        if which == 1:
            at = put_text(out, at, _NEXT_SIDE)
        for i in range(shown_counts[which]):
            at = put_level(out, at, shown[which, i, 0], shown[which, i, 1], scales)
        if shown_counts[which]:
            at -= 1
    return put_tail(out, at, u, seq, cts)
