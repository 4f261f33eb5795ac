"""Many files as one stream in order of receive time, of which few are open at a time."""

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush, heapreplace

from stakan.core.domain.events import AnyMarketEvent

Opening = Callable[[], Iterator[AnyMarketEvent]]
"""Starts one file from its beginning."""


def merged(files: Sequence[Opening]) -> Iterator[AnyMarketEvent]:
    """Events of all files by receive time, ties in the order of the files.

    A file is opened when the stream reaches its first event, so a year of daily files needs the memory of those that
    overlap. Each is opened once more beforehand, to see where it begins. Every file is in order by itself.
    """
    waiting = sorted(_beginnings(files), reverse=True)
    active: list[tuple[int, int, AnyMarketEvent, Iterator[AnyMarketEvent]]] = []
    while waiting or active:
        while waiting and (not active or waiting[-1] <= active[0][:2]):
            _, place = waiting.pop()
            stream = files[place]()
            first = next(stream)
            heappush(active, (first.ts_recv, place, first, stream))
        _, place, event, stream = active[0]
        yield event
        following = next(stream, None)
        if following is None:
            heappop(active)
        else:
            heapreplace(active, (following.ts_recv, place, following, stream))


def _beginnings(files: Sequence[Opening]) -> Iterator[tuple[int, int]]:
    """(receive time of the first event, place) of every file that has one."""
    for place, file in enumerate(files):
        for event in file():
            yield event.ts_recv, place
            break
