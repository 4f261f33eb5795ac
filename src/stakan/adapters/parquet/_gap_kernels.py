"""Numeric kernel that counts sequence gaps in columns of book messages."""

import numpy as np
import numpy.typing as npt

from stakan.core.domain.batch import Kind
from stakan.core.kernel import kernel

Ints = npt.NDArray[np.int64]
SNAPSHOT = int(Kind.SNAPSHOT)

IS_LIVE = 0
LAST_SEQUENCE = 1


def first_state() -> Ints:
    """State before any message, shape (2,): whether a snapshot was seen since the last gap, and the last sequence."""
    return np.zeros(2, np.int64)


@kernel
def count_gaps(kind: npt.NDArray[np.uint8], sequence: Ints, previous_sequence: Ints, state: Ints) -> int:
    """Gaps by the rule of order-of-arrival record 0002; `state` is carried from call to call.

    A delta is a gap when its `previous_sequence` lies above the book's sequence; what follows until the next snapshot
    belongs to the same gap.
    """
    gaps = 0
    for i in range(len(kind)):
        if kind[i] == SNAPSHOT:
            state[IS_LIVE] = 1
            state[LAST_SEQUENCE] = sequence[i]
        elif state[IS_LIVE] and sequence[i] > state[LAST_SEQUENCE]:
            if previous_sequence[i] > state[LAST_SEQUENCE]:
                gaps += 1
                state[IS_LIVE] = 0
            else:
                state[LAST_SEQUENCE] = sequence[i]
    return gaps
