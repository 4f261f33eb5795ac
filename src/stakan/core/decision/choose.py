"""From many opinions about one instrument to at most one: agreement takes the strongest, contradiction takes none."""

from collections.abc import Sequence
from typing import NamedTuple

from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Signal


class Passed(NamedTuple):
    """A signal that was not taken, and why."""

    signal: Signal
    reason: Reason
    detail: str


class Choice(NamedTuple):
    """The signal to act on, if any, and the ones passed over."""

    winner: Signal | None
    passed: tuple[Passed, ...] = ()


def choose(signals: Sequence[Signal], min_strength: float) -> Choice:
    """The strongest of agreeing signals that reach `min_strength`; ties go to the first name in the alphabet."""
    strong = [signal for signal in signals if signal.strength >= min_strength]
    weak = tuple(
        Passed(signal, Reason.TOO_WEAK, f"strength {signal.strength:.3f} is under {min_strength}")
        for signal in signals
        if not signal.strength >= min_strength  # NaN is weak too
    )
    if not strong:
        return Choice(None, weak)
    if len({signal.side for signal in strong}) > 1:
        sides = ", ".join(f"{signal.strategy} {signal.side.name.lower()}" for signal in strong)
        return Choice(None, weak + tuple(Passed(signal, Reason.CONFLICTING_SIGNALS, sides) for signal in strong))
    ranked = sorted(strong, key=lambda signal: (-signal.strength, signal.strategy))
    winner = ranked[0]
    outvoted = tuple(Passed(signal, Reason.OUTVOTED, f"{winner.strategy} is stronger") for signal in ranked[1:])
    return Choice(winner, weak + outvoted)
