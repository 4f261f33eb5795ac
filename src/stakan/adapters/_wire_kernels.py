"""Kernels that read book levels out of JSON text: bytes in, ticks and lots out, no float in between.

They expect text that a JSON parser has accepted, and never read past its end whatever it is.
"""

import numpy as np
import numpy.typing as npt

from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]

# What became of a message; all but OK are negative.
OK = 0
NEEDS_ROOM = -1
BAD_SHAPE = -2
NOT_A_NUMBER = -3
NEGATIVE = -4
OFF_GRID = -5
TOO_LARGE = -6
NOT_POSITIVE = -7

# Members of a message.
END = 0
BIDS = 1
ASKS = 2
UPDATE_ID = 3
BROKEN = 4

_QUOTE = ord('"')
_BACKSLASH = ord("\\")
_COMMA = ord(",")
_COLON = ord(":")
_POINT = ord(".")
_MINUS = ord("-")
_ZERO = ord("0")
_NINE = ord("9")
_SPACE = ord(" ")
_OPEN = ord("[")
_CLOSE = ord("]")
_OPEN_OBJECT = ord("{")
_CLOSE_OBJECT = ord("}")
# Ten times this plus nine still fits into 63 bits.
_ROOM_FOR_DIGIT = (2**63 - 10) // 10
_SAFE_DIGITS = 18
# Keys of at most six letters, folded into a number.
_MAX_KEY = 6
_BIDS_SHORT = ord("b")
_ASKS_SHORT = ord("a")
_UPDATE_ID = ord("u")
_BIDS_LONG = int.from_bytes(b"bids", "big")
_ASKS_LONG = int.from_bytes(b"asks", "big")
_DATA = int.from_bytes(b"data", "big")
_RESULT = int.from_bytes(b"result", "big")


@kernel
def skip_space(text: bytes, at: int) -> int:
    """Next place that holds no JSON white space."""
    size = len(text)
    while at < size and text[at] <= _SPACE:
        at += 1
    return at


@kernel
def skip_string(text: bytes, at: int) -> int:
    """Place after the string whose opening quote is at `at`."""
    size = len(text)
    at += 1
    while at < size and text[at] != _QUOTE:
        at += 2 if text[at] == _BACKSLASH else 1
    return at + 1


@kernel
def skip_value(text: bytes, at: int) -> int:
    """Place after the JSON value that starts at `at`."""
    size = len(text)
    depth = 0
    while at < size:
        c = text[at]
        if c == _QUOTE:
            at = skip_string(text, at)
        elif c in (_OPEN, _OPEN_OBJECT):
            depth += 1
            at += 1
        elif c in (_CLOSE, _CLOSE_OBJECT):
            if depth == 0:
                return at
            depth -= 1
            at += 1
        elif depth == 0 and c == _COMMA:
            return at
        else:
            at += 1
            if depth > 0 or (at < size and text[at] not in (_COMMA, _CLOSE, _CLOSE_OBJECT, _SPACE)):
                continue
        if depth == 0:
            return at
    return at


@kernel
def read_whole(text: bytes, at: int) -> tuple[int, int]:
    """(Whole number without a sign, or -1 where there is none or a larger one than 63 bits hold; place after it)."""
    size = len(text)
    value = -1
    while at < size and 0 <= text[at] - _ZERO <= 9:
        if value > _ROOM_FOR_DIGIT:
            return -1, at
        value = max(value, 0) * 10 + text[at] - _ZERO
        at += 1
    return value, at


@kernel
def read_any_decimal(text: bytes, at: int, digits: int, unit: int) -> tuple[int, int]:
    """What `read_decimal` says, for numbers of any length and for what is none."""
    size = len(text)
    value = 0
    seen = 0
    left = -1
    while at < size:
        c = text[at] - _ZERO
        if 0 <= c <= 9:
            seen += 1
            if left == 0:
                if c != 0:
                    return OFF_GRID, at
            else:
                if value > _ROOM_FOR_DIGIT:
                    return TOO_LARGE, at
                value = value * 10 + c
                left -= 1 if left > 0 else 0
        elif text[at] == _POINT and left < 0:
            left = digits
        else:
            break
        at += 1
    if at >= size or text[at] != _QUOTE or seen == 0:
        return (NEGATIVE if at < size and text[at] == _MINUS and seen == 0 else NOT_A_NUMBER), at
    for _ in range(digits if left < 0 else left):
        if value > _ROOM_FOR_DIGIT:
            return TOO_LARGE, at
        value *= 10
    if unit != 1:
        if value % unit != 0:
            return OFF_GRID, at
        value //= unit
    return value, at + 1


@kernel
def read_decimal(text: bytes, at: int, digits: int, unit: int) -> tuple[int, int]:
    """A quoted decimal as a count of `unit` · 10^-digits; returns (count or error, place after the closing quote).

    `at` is the place after the opening quote. On an error the place is where reading stopped. The ordinary number is
    read without a check per digit, which halves the time; the rest is left to `read_any_decimal`.
    """
    size = len(text)
    start = at
    value = 0
    while at < size and _ZERO <= text[at] <= _NINE:
        value = value * 10 + text[at] - _ZERO
        at += 1
    seen = at - start
    left = digits
    if at < size and text[at] == _POINT:
        at += 1
        while left > 0 and at < size and _ZERO <= text[at] <= _NINE:
            value = value * 10 + text[at] - _ZERO
            at += 1
            left -= 1
        while at < size and text[at] == _ZERO:
            at += 1
    if seen == 0 or seen + digits > _SAFE_DIGITS or at >= size or text[at] != _QUOTE:
        return read_any_decimal(text, start, digits, unit)
    for _ in range(left):
        value *= 10
    if unit != 1:
        if value % unit != 0:
            return OFF_GRID, at
        value //= unit
    return value, at + 1


@kernel
def read_side(text: bytes, at: int, scale: tuple[int, int, int, int], out: Ints, row: int) -> tuple[int, int, int, int]:
    """Read `[["price","size"],…]` that starts at `at` into `out` from `row` on.

    `scale` is (price digits, tick, size digits, lot). Returns (OK or error, place after it, next row, column). On an
    error place, row and column are those of the number in question.
    """
    size = len(text)
    at = skip_space(text, at + 1)
    while at < size and text[at] != _CLOSE:
        if text[at] == _COMMA:
            at = skip_space(text, at + 1)
        if at >= size or text[at] != _OPEN:
            return BAD_SHAPE, at, row, 0
        if row >= out.shape[0]:
            return NEEDS_ROOM, at, row, 0
        at = skip_space(text, at + 1)
        for column in range(2):
            if at >= size or text[at] != _QUOTE:
                return BAD_SHAPE, at, row, 0
            value, end = read_decimal(text, at + 1, scale[2 * column], scale[2 * column + 1])
            if value < 0:
                return value, at, row, column
            if column == 0 and value == 0:
                return NOT_POSITIVE, at, row, 0
            out[row, column] = value
            at = skip_space(text, end)
            if column == 0:
                if at >= size or text[at] != _COMMA:
                    return BAD_SHAPE, at, row, 0
                at = skip_space(text, at + 1)
        if at >= size or text[at] != _CLOSE:
            return BAD_SHAPE, at, row, 0
        row += 1
        at = skip_space(text, at + 1)
    return OK, at + 1, row, 0


@kernel
def put_last_first(rows: Ints, count: int, first: int) -> None:
    """Turn rows (0…first, first…count) into (first…count, 0…first)."""
    front = rows[:first].copy()
    for row in range(first, count):
        rows[row - first] = rows[row]
    rows[count - first : count] = front


@kernel
def read_key(text: bytes, at: int) -> tuple[int, int]:
    """(Key of a member, folded into a number, 0 for a long one; place of its value or -1 where there is none)."""
    size = len(text)
    end = skip_string(text, at)
    key = 0
    if end <= size and end - at - 2 <= _MAX_KEY:
        for i in range(at + 1, end - 1):
            key = key * 256 + text[i]
    at = skip_space(text, end)
    if at >= size or text[at] != _COLON:
        return 0, -1
    return key, skip_space(text, at + 1)


@kernel
def next_member(text: bytes, at: int, depth: int) -> tuple[int, int, int]:
    """Go on to the next member that matters, into `data` and `result`; returns (which, place of its value, depth)."""
    size = len(text)
    while at < size:
        at = skip_space(text, at)
        c = text[at] if at < size else 0
        if c == _QUOTE and depth > 0:
            key, at = read_key(text, at)
            c = text[at] if 0 <= at < size else 0
            if c == _OPEN_OBJECT and key in (_DATA, _RESULT):
                depth += 1
                at += 1
            elif c == _OPEN and key in (_BIDS_SHORT, _BIDS_LONG):
                return BIDS, at, depth
            elif c == _OPEN and key in (_ASKS_SHORT, _ASKS_LONG):
                return ASKS, at, depth
            elif key == _UPDATE_ID:
                return UPDATE_ID, at, depth
            elif at < 0:
                return BROKEN, 0, depth
            else:
                at = skip_value(text, at)
        elif c == _COMMA:
            at += 1
        elif c == _CLOSE_OBJECT:
            depth -= 1
            at += 1
            if depth <= 0:
                return END, at, depth
        elif c == _OPEN_OBJECT and depth == 0:
            depth = 1
            at += 1
        else:
            return BROKEN, at, depth
    return END, at, depth


@kernel
def read_book(text: bytes, scale: tuple[int, int, int, int], out: Ints, start: int) -> tuple[int, int, int, int]:
    """Levels of a book message in any of the known envelopes.

    Members `b` or `bids` and `a` or `asks` are looked for in the object and in its members `data` and `result`, in
    any order. `out` has shape (capacity, 2) and takes bids first, from row `start`. Returns (OK, rows, bids, `u` or
    -1), or on an error (error, row within its side, 2 · side + column with bids 0 and prices 0, place).
    """
    rows = start
    bids = -1
    asks = -1
    update_id = -1
    member, at, depth = next_member(text, 0, 0)
    while member != END:
        if member == UPDATE_ID:
            update_id, at = read_whole(text, at)
            at = skip_value(text, at)
        elif member == BROKEN or (member == BIDS and bids >= 0) or (member == ASKS and asks >= 0):
            return BAD_SHAPE, 0, 0, at
        else:
            first = rows
            status, at, rows, column = read_side(text, at, scale, out, rows)
            if status != OK:
                return status, rows - first, column + (2 if member == ASKS else 0), at
            if member == ASKS:
                asks = rows - first
            else:
                bids = rows - first
                if first > start:
                    put_last_first(out[start:], rows - start, first - start)
        member, at, depth = next_member(text, at, depth)
    if bids < 0 or asks < 0:
        return BAD_SHAPE, 0, 0, at
    return OK, rows - start, bids, update_id
