"""The efficient price: a common and an own factor with volatility regimes, trends and jumps."""

import hashlib

import numpy as np
import numpy.typing as npt

from stakan.core.domain.ids import InstrumentId

Floats = npt.NDArray[np.float64]

STEPS_PER_SLICE = 100
"""Steps of the price path within one slice of a second."""

_REGIME_SCALE = (0.55, 0.95, 2.1)
"""Volatility of calm, ordinary and stormy stretches; about one on average of squares."""
_REGIME_LEAVE = (1 / 60, 1 / 90, 1 / 25)
"""Chance per second to leave a regime."""
_TREND_LEAVE = 1 / 60
_TREND_STRENGTH = 0.12
"""Drift per second in standard deviations of one second: a minute of trend moves about as far as chance does."""
_JUMP_CHANCE = 0.01
_JUMP_SCALE = 2.0
_LOG_VOLATILITY_DECAY = 0.95
_LOG_VOLATILITY_SHOCK = 0.12


def stream(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for each purpose, derived from names: adding one disturbs no other."""
    key = tuple(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") for name in names)
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))


class Factor:
    """A driftless-on-average random walk in units of one second's standard deviation, a second at a time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._regime = 1
        self._trend = 0
        self._log_volatility = 0.0

    def next_slice(self) -> Floats:
        """Increments of the next second, shape (STEPS_PER_SLICE,)."""
        rng = self._rng
        noise = rng.standard_normal(STEPS_PER_SLICE)
        switch, choice, trend_switch, trend_choice, jump, jump_at = rng.random(6)
        if switch < _REGIME_LEAVE[self._regime]:
            self._regime = (self._regime + (1 if choice < 0.6 else 2)) % 3
        if trend_switch < _TREND_LEAVE:
            self._trend = int(trend_choice * 3) - 1
        self._log_volatility = (
            _LOG_VOLATILITY_DECAY * self._log_volatility + _LOG_VOLATILITY_SHOCK * rng.standard_normal()
        )
        scale = _REGIME_SCALE[self._regime] * np.exp(self._log_volatility)
        increments = scale * noise / np.sqrt(STEPS_PER_SLICE) + self._trend * _TREND_STRENGTH / STEPS_PER_SLICE
        if jump < _JUMP_CHANCE:
            increments[int(jump_at * STEPS_PER_SLICE)] += rng.laplace(0.0, _JUMP_SCALE)
        return np.asarray(increments, np.float64)


class PricePath:
    """Efficient price of one instrument in ticks; the common factor is drawn anew from the seed by each instrument."""

    def __init__(self, seed: int, instrument: InstrumentId, start_ticks: float, volatility: float, correlation: float):  # noqa: ANN204 - the five numbers of the model
        self._common = Factor(stream(seed, "common"))
        self._own = Factor(stream(seed, instrument, "price"))
        self._loads = np.sqrt(correlation) * volatility, np.sqrt(1 - correlation) * volatility
        self._log_price = float(np.log(start_ticks))

    def next_slice(self) -> Floats:
        """Prices of the next second in ticks, shape (STEPS_PER_SLICE,)."""
        common, own = self._loads
        path = self._log_price + np.cumsum(common * self._common.next_slice() + own * self._own.next_slice())
        self._log_price = float(path[-1])
        return np.exp(path)
