"""Work in processes of their own: one item at a time in each, and what has been got done is told as it goes."""

import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeVar

from stakan.adapters.compiling import take_turns

Item = TypeVar("Item")
Result = TypeVar("Result")
Told = Callable[[int], None]
"""Told how much more has been done since the last call, in whatever unit the work counts."""
_POLL_S = 0.2
_AHEAD = 4
"""Items per process that wait there."""


def each(
    work: Callable[[Item, Told], Result], items: Sequence[Item], jobs: int, told: Told = lambda _more: None
) -> Generator[Result, None, None]:
    """What `work` makes of every item, as they are done; in this process where one is enough.

    `work` is a function of a module, items and results can be pickled. Raises what `work` raises; items that others are
    at are given up when they tell next.
    """
    if jobs <= 1 or len(items) <= 1:
        for item in items:
            yield work(item, told)
        return
    # A process that begins anew: a fork would take over locks of threads that it does not have.
    context = get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    with ProcessPoolExecutor(
        min(jobs, len(items)), mp_context=context, initializer=_begin, initargs=(counter, stop)
    ) as pool:
        coming, running, so_far = iter(items), set[Future[Result]](), 0
        try:
            while True:
                for item in islice(coming, jobs * _AHEAD - len(running)):
                    running.add(pool.submit(_done_elsewhere, work, item))
                if not running:
                    return
                done, running = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                count = counter.value
                told(count - so_far)
                so_far = count
                for future in done:
                    yield future.result()
        finally:
            stop.set()
            for future in running:
                future.cancel()


class _Stopped(Exception):
    """The whole ends before this item is done."""


_shared: list[Any] = []
"""In a process of the pool: what counts all that was told, and what says that it is over."""


def _begin(counter: Any, stop: Any) -> None:
    take_turns()
    # Whoever interrupts, interrupts the whole, which tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _shared[:] = counter, stop


def _done_elsewhere(work: Callable[[Item, Told], Result], item: Item) -> Result:
    counter, stop = _shared

    def told(more: int) -> None:
        if stop.is_set():
            raise _Stopped
        with counter.get_lock():
            counter.value += more

    # It may have waited in the pool's own queue, from which nothing can be taken back.
    told(0)
    return work(item, told)
