"""Further features: sets beside the 110, one file each, with a version of their own."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.events import TradePrint
from stakan.core.domain.instrument import Instrument
from stakan.core.features.definitions import Definition
from stakan.core.market.picture import MarketPicture

Values = npt.NDArray[np.float64]
Warmth = npt.NDArray[np.bool_]


class FeatureSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of feature sets: parameters now, numbers later.

    A set observes the messages of one instrument after the market took them in and reads its numbers when somebody asks
    for them. It reads no clock and does no I/O. What it must remember is a msgspec Struct made by `start`, one per
    instrument, bounded, part of the engine's snapshot. Every number is finite on every input; where too little is known
    it is the neutral one, and not warm.
    """

    version: ClassVar[str]
    """Of names, order and meaning: stored with everything that keeps these numbers."""
    definitions: ClassVar[Mapping[str, Definition]]
    """Names in their order, and what each is."""

    def start(self, instrument: Instrument) -> msgspec.Struct:  # noqa: ARG002 - the contract
        """A fresh state for one instrument."""
        raise TypeError(f"{type(self).__name__} does not implement start")

    def on_book(self, market: MarketPicture, state: Any) -> None:
        """A message that the book took in and is usable after."""

    def on_print(self, market: MarketPicture, event: TradePrint, state: Any) -> None:
        """A new print."""

    def restart(self, state: Any) -> None:
        """The feed was interrupted."""

    def read(self, market: MarketPicture, now: int, state: Any, out: Values, warm: Warmth) -> None:  # noqa: ARG002
        """Numbers at exchange time `now` into `out`, their warmth into `warm`, both in the order of the definitions.

        Both come as the neutral values and False. Reading changes nothing that another reading would see.
        """
        raise TypeError(f"{type(self).__name__} does not implement read")


class FurtherVector(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Values and warmth of one set at one exchange time."""

    spec: FeatureSet
    values: Values
    """Shape (n,), in the order of the set's definitions."""
    warm: Warmth
    ts_event: int

    def of(self, name: str) -> float:
        """One value; raises KeyError for a name that the set does not have."""
        return float(self.values[self._index(name)])

    def is_warm(self, *names: str) -> bool:
        """Whether all of them rest on enough history."""
        return all(self.warm[self._index(name)] for name in names)

    def as_dict(self) -> dict[str, float]:
        """Name to value, in order."""
        return dict(zip(self.spec.definitions, self.values.tolist(), strict=True))

    def _index(self, name: str) -> int:
        index = _places(type(self.spec)).get(name)
        if index is None:
            raise KeyError(f"{name} is not in {self.spec.version}: it has {', '.join(self.spec.definitions)}")
        return index


class Further:
    """The configured sets of one instrument at one exchange time; each is computed when it is first asked for."""

    __slots__ = ("_market", "_now", "_read", "_sets")

    def __init__(self, sets: Sequence[tuple[str, FeatureSet, msgspec.Struct]], market: MarketPicture, now: int) -> None:
        self._sets = sets
        self._market = market
        self._now = now
        self._read: dict[str, FurtherVector] = {}

    def __getitem__(self, name: str) -> FurtherVector:
        """A set by its name in the configuration; raises KeyError where none is called so."""
        known = self._read.get(name)
        if known is None:
            known = self._read[name] = self._computed(name)
        return known

    def as_dict(self) -> dict[str, float]:
        """Every number of every set as `set.name`."""
        return {f"{own}.{key}": value for own, _, _ in self._sets for key, value in self[own].as_dict().items()}

    def _computed(self, name: str) -> FurtherVector:
        for own, spec, state in self._sets:
            if own == name:
                return read(spec, self._market, self._now, state)
        configured = ", ".join(own for own, _, _ in self._sets) or "none"
        raise KeyError(f"no feature set {name} is configured; configured: {configured}")


def read(spec: FeatureSet, market: MarketPicture, now: int, state: msgspec.Struct) -> FurtherVector:
    """A set's vector at exchange time `now`."""
    values = _neutral(type(spec)).copy()
    warm = np.zeros(len(values), np.bool_)
    spec.read(market, now, state, values, warm)
    return FurtherVector(spec, values, warm, now)


@cache
def _neutral(kind: type[FeatureSet]) -> Values:
    return np.array([one.neutral for one in kind.definitions.values()])


@cache
def _places(kind: type[FeatureSet]) -> dict[str, int]:
    return {name: index for index, name in enumerate(kind.definitions)}
