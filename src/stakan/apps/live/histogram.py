"""Durations counted in buckets: cheap enough for a trading loop, and what Prometheus makes percentiles of."""

from bisect import bisect_left

from stakan.core.domain.units import MICROSECOND, MILLISECOND, SECOND

BOUNDS = tuple(
    number * unit
    for unit, numbers in (
        (MICROSECOND, (50, 100, 250, 500)),
        (MILLISECOND, (1, 2, 5, 10, 25, 50, 100, 250, 500)),
        (SECOND, (1, 2, 5, 10)),
    )
    for number in numbers
)
"""Nanoseconds, upper bounds included."""


class Histogram:
    """How many durations fell under which bound; nanoseconds."""

    def __init__(self, bounds: tuple[int, ...] = BOUNDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0

    def add(self, taken: int) -> None:
        """One duration."""
        self._counts[bisect_left(self._bounds, taken)] += 1
        self._sum += taken

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    @property
    def sum_s(self) -> float:
        """All together, in seconds."""
        return self._sum / SECOND

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound in seconds, how many were not longer), and all of them under `+Inf`."""
        found, so_far = [], 0
        for bound, count in zip(self._bounds, self._counts, strict=False):
            so_far += count
            found.append((repr(bound / SECOND), float(so_far)))
        return [*found, ("+Inf", float(so_far + self._counts[-1]))]
