"""Work of a journal that need not hold up the trading path."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

Job = Callable[[], None]


class Jobs(Protocol):
    """Does one job after the other; what a job raises is raised by the next `check`."""

    def submit(self, job: Job) -> None:
        """Do it now or later, after all before it."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits or is being done."""
        ...

    def check(self) -> None:
        """Raise what a job has raised, once."""
        ...

    def settle(self) -> None:
        """Return when all is done; then as `check`."""
        ...

    def close(self) -> None:
        """Let what waits be done, and take nothing more; what it raises is lost."""
        ...


class InThread:
    """Jobs in one thread of their own, which begins with the first."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "journal")
        self._doing: list[Future[None]] = []

    def submit(self, job: Job) -> None:
        """See `Jobs`."""
        self._doing.append(self._thread.submit(job))

    @property
    def is_idle(self) -> bool:
        """See `Jobs`."""
        return all(one.done() for one in self._doing)

    def check(self) -> None:
        """See `Jobs`."""
        while self._doing and self._doing[0].done():
            self._doing.pop(0).result()

    def settle(self) -> None:
        """See `Jobs`."""
        while self._doing:
            self._doing.pop(0).result()

    def close(self) -> None:
        """See `Jobs`."""
        self._thread.shutdown()
        self._doing.clear()


class Inline:
    """Jobs that are done at once by whoever asks for them: the order of a simulation and of tests."""

    is_idle = True

    def __init__(self) -> None:
        self._raised: list[Exception] = []

    def submit(self, job: Job) -> None:
        """See `Jobs`."""
        try:
            job()
        except Exception as error:  # noqa: BLE001 - raised by the next check, as that of a thread
            self._raised.append(error)

    def check(self) -> None:
        """See `Jobs`."""
        if self._raised:
            raise self._raised.pop(0)

    def settle(self) -> None:
        """See `Jobs`."""
        self.check()

    def close(self) -> None:
        """See `Jobs`."""
        self._raised.clear()
