"""What a perpetual future's ticker tells: funding, basis, open interest and its change.

The ticker's clock is the push system's: what it said last is what is known.
"""

from decimal import Decimal
from math import isfinite, nan
from typing import Annotated, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.events import TradePrint
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MINUTE, SECOND
from stakan.core.features.definitions import Definition
from stakan.core.features.further import FeatureSet, Values, Warmth
from stakan.core.market.picture import MarketPicture, TickerState

_GRID_NS = 5 * SECOND
_MINUTES = (1, 5, 15)
_SLOTS = max(_MINUTES) * MINUTE // _GRID_NS + 1
"""Fifteen minutes ago and now."""
_TICKER = "ticker"

_FUNDING, _UNTIL_FUNDING, _BASIS, _MARK_GAP, _OPEN_INTEREST, _CHANGES = range(6)


def _interest() -> npt.NDArray[np.float64]:
    return np.full(_SLOTS, nan)


class TickerHistory(msgspec.Struct, eq=False):
    """Open interest on a grid of 5 s of exchange time, and since when the ticker can be believed."""

    interest: np.ndarray[tuple[int], np.dtype[np.float64]] = msgspec.field(default_factory=_interest)
    """Row `slot % rows` is what was known at the first message from `slot` x 5 s on; NaN where nothing was."""
    slot: int = -1
    """The newest one that is written; -1 before the first message."""
    since: int | None = -1
    """A ticker that came later than this receive time is believed; None between an interruption and the next message."""


class Derivatives(FeatureSet, frozen=True, kw_only=True):
    """Funding rate and the time until it is paid, basis, mark against mid, open interest and its change.

    An instrument without a field (spot has none of them) leaves its feature neutral and not warm. Liquidations are left
    out: no event of the engine's tells one, and the exchange's stream of them is not subscribed to.
    """

    version = "derivatives-1"
    definitions: ClassVar = {
        "funding_rate": Definition("rate of the next funding", "share", "now", _TICKER),
        "time_to_funding": Definition("next funding - now, 0 where it has passed", "s", "now", _TICKER),
        "basis": Definition("(mark - index) / index", "share", "now", _TICKER),
        "mark_gap": Definition("(mark - mid) / mid", "share", "now", "ticker and best quotes"),
        "open_interest": Definition("OI: open interest", "base units", "now", _TICKER),
        **{
            f"open_interest_change_{minutes}m": Definition(
                f"OI / OI {minutes} min ago (on a grid of 5 s) - 1", "share", f"{minutes} min", _TICKER
            )
            for minutes in _MINUTES
        },
    }
    max_age_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 60.0
    """A ticker that is older than the book by more than this says nothing."""

    def start(self, instrument: Instrument) -> TickerHistory:  # noqa: ARG002 - tickers have their own units
        """Nothing was seen."""
        return TickerHistory()

    def on_book(self, market: MarketPicture, state: TickerHistory) -> None:
        """Look at what the ticker has become."""
        _look(market, state)

    def on_print(self, market: MarketPicture, event: TradePrint, state: TickerHistory) -> None:  # noqa: ARG002
        """Look at what the ticker has become."""
        _look(market, state)

    def restart(self, state: TickerHistory) -> None:
        """What the ticker said before says nothing of after."""
        state.interest[:] = nan
        state.slot = -1
        state.since = None

    def read(self, market: MarketPicture, now: int, state: TickerHistory, out: Values, warm: Warmth) -> None:
        """What the ticker says now, and what it said before."""
        ticker = market.ticker
        if not self._is_believed(market, state):
            return
        index, mark, mid = _number(ticker.index), _number(ticker.mark), _mid(market)
        interest = _number(ticker.open_interest)
        found = {
            _FUNDING: _number(ticker.funding_rate),
            _BASIS: _relative(mark, index),
            _MARK_GAP: _relative(mark, mid),
            _OPEN_INTEREST: interest,
        }
        if ticker.next_funding_ts is not None:
            found[_UNTIL_FUNDING] = max(0, ticker.next_funding_ts - now) / SECOND
        for column, minutes in enumerate(_MINUTES, _CHANGES):
            found[column] = _relative(interest, _then(state, now - minutes * MINUTE))
        for column, value in found.items():
            if isfinite(value):
                out[column], warm[column] = value, True

    def _is_believed(self, market: MarketPicture, state: TickerHistory) -> bool:
        told = market.ticker.ts_recv
        return state.since is not None and told > state.since and market.book.ts_recv - told <= self.max_age_s * SECOND


def _look(market: MarketPicture, state: TickerHistory) -> None:
    if state.since is None:
        state.since = market.ticker.ts_recv
    slot = market.ts_event // _GRID_NS
    if slot <= state.slot:
        return
    # Where no message came, what the one before saw stands.
    before = nan if state.slot < 0 else float(state.interest[state.slot % _SLOTS])
    for passed in range(max(state.slot + 1, slot - _SLOTS + 1), slot):
        state.interest[passed % _SLOTS] = before
    known = market.ticker if market.ticker.ts_recv > state.since else _NOTHING
    state.interest[slot % _SLOTS] = _number(known.open_interest)
    state.slot = slot


_NOTHING = TickerState()


def _then(state: TickerHistory, moment: int) -> float:
    """Open interest of the grid's last moment until `moment`; NaN where it is not known."""
    slot = moment // _GRID_NS
    if not 0 <= slot <= state.slot or slot <= state.slot - _SLOTS:
        return nan
    return float(state.interest[slot % _SLOTS])


def _number(value: Decimal | None) -> float:
    return nan if value is None else float(value)


def _relative(now: float, before: float) -> float:
    """The relative difference; NaN where there is nothing to compare with."""
    return now / before - 1.0 if before > 0.0 else nan


def _mid(market: MarketPicture) -> float:
    book = market.book
    return book.mid * float(market.tick_size) if book.is_usable else nan
