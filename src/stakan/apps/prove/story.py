"""What a demonstration did and what came of it, told while it happens."""

import time
from collections.abc import Callable

import msgspec


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One line: what was done, or what is claimed, and what was found."""

    at_s: float
    """Since the demonstration began."""
    what: str
    found: str
    holds: bool | None = None
    """Of a claim: whether it is so; None where nothing is claimed."""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A whole demonstration."""

    name: str
    claim: str
    holds: bool
    """Whether something was claimed, and all of it is so."""
    observations: tuple[Observation, ...]


class Story:
    """Collects observations and passes each on at once."""

    def __init__(
        self, tell: Callable[[Observation], None] = lambda _one: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.observations: list[Observation] = []
        self._tell = tell
        self._clock = clock
        self._began = clock()

    def did(self, what: str, found: str = "") -> None:
        """Something was done."""
        self._add(what, found, None)

    def claim(self, what: str, found: object, holds: bool) -> None:
        """Something should be so; `found` is what there is instead of words."""
        self._add(what, str(found), holds)

    @property
    def holds(self) -> bool:
        """Whether something was claimed, and all of it is so."""
        claims = [one.holds for one in self.observations if one.holds is not None]
        return bool(claims) and all(claims)

    def _add(self, what: str, found: str, holds: bool | None) -> None:
        one = Observation(at_s=round(self._clock() - self._began, 3), what=what, found=found, holds=holds)
        self.observations.append(one)
        self._tell(one)
