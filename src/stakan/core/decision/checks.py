"""Cheap questions between the winning signal and its intent; the first refusal ends it."""

from stakan.core.domain.instrument import Instrument
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import SECOND, Side
from stakan.core.market.picture import MarketPicture
from stakan.core.plugins import Refusal

MAX_SIGNAL_AGE_NS = 60 * SECOND
MAX_ENTRY_DISTANCE = 0.01
"""Of the mid: an entry further away rests on a stale idea."""


def objection(signal: Signal, instrument: Instrument, market: MarketPicture, now: int) -> Refusal | None:
    """Why a signal must not become an intent now, or None. `now` is exchange time."""
    if signal.side is Side.SELL and not instrument.is_linear:
        return Refusal(Reason.SHORT_NOT_POSSIBLE, "spot cannot be sold short")
    age = now - signal.ts_event
    if age > MAX_SIGNAL_AGE_NS:
        return Refusal(Reason.SIGNAL_STALE, f"{age / SECOND:.1f} s old")
    mid = market.book.mid
    distance = abs(signal.entry - mid) / mid
    if distance > MAX_ENTRY_DISTANCE:
        return Refusal(Reason.ENTRY_TOO_FAR, f"{distance:.4f} of the mid away, at most {MAX_ENTRY_DISTANCE}")
    if signal.take_profit is not None and (signal.take_profit - signal.entry) * signal.side <= 0:
        return Refusal(Reason.TARGET_WRONG_SIDE, f"target {signal.take_profit}, entry {signal.entry} (ticks)")
    if signal.leans_on is not None and market.densities.at(signal.leans_on) is None:
        return Refusal(Reason.DENSITY_GONE, f"no density at {signal.leans_on} any more")
    return None
