"""The program that projects a state folder's journals into a database, and what it tells of itself."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

import msgspec

from stakan.adapters.journal.reading import Extent, Follower, has_begun, read_header
from stakan.adapters.journal.records import Header, Record
from stakan.adapters.sql import audit, schema
from stakan.adapters.sql.batch import By
from stakan.adapters.sql.check import mend_live
from stakan.adapters.sql.columns import to_json
from stakan.adapters.sql.database import Database
from stakan.adapters.sql.projector import Progress, Projector
from stakan.adapters.sql.upkeep import prune
from stakan.apps.live.state_folder import EPOCH_FILE, RUNS
from stakan.apps.locking import lock
from stakan.apps.projector_status import STATUS_FILE, Health, ProjectorStatus, read_status, write_status
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.core.domain.errors import ConfigError, DatabaseAway, DataError, StakanError, StorageError
from stakan.core.domain.units import HOUR, SECOND

LOCK_FILE = "projector.lock"
POLL_S = 0.5
"""Between two looks at the journal."""
MAX_PAUSE_S = 10.0
"""Longest pause before a database that is away is tried again."""
BEHIND_S = 5.0
"""Rows of what is older than this are not written as it happens."""
AUDIT_NS = 10 * SECOND
"""Between two looks at what was appended to the audit log."""
AUDIT_PATIENCE_S = 0.5
"""Rows wait so long for such a look; the first one reads the whole log, and may take longer."""
ACTOR = "projector"


# --- the journals of a state folder ---------------------------------------------------------------------------------


class StateJournals:
    """A `JournalTail` over the runs of a state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / RUNS
        self._begun: set[str] = set()
        self._followers: dict[str, Follower] = {}
        self._extents: dict[str, Extent] = {}

    def runs(self) -> Sequence[str]:
        """Those with a journal; one that a process was killed over before it held anything does not count."""
        if not self._folder.is_dir():
            return []
        there = {path.name for path in self._folder.iterdir()}
        self._begun = {name for name in there if name in self._begun or self._has_begun(name)}
        return sorted(self._begun)

    def header(self, run: str) -> Header:
        """What a run was made from."""
        return read_header(self._journal(run))

    def carries_on(self, run: str) -> bool:
        """Whether it began with what an earlier run left."""
        return bool(self.header(run).carried_from)

    def after(self, run: str, number: int) -> Iterator[Record]:
        """What is written of the steps after `number`, whole steps in order, as the journal's blocks hold them."""
        follower = self._followers.get(run)
        is_newest = run == max(self._begun, default=run)
        if follower is None or follower.is_over or follower.number != number or not is_newest:
            # Only one that stopped exactly here knows its place in the file, and any file of an earlier run may be
            # distilled at any time.
            follower = self._followers[run] = Follower(self._journal(run), number)
        for records in follower.blocks():
            yield from records

    def span(self, run: str) -> tuple[int, int]:
        """The first and the last step that are written, without reading them."""
        extent = self._extents.get(run)
        if extent is None:
            extent = self._extents[run] = Extent(self._journal(run))
        return extent.steps()

    def _has_begun(self, run: str) -> bool:
        return has_begun(self._journal(run))

    def _journal(self, run: str) -> Path:
        return self._folder / run / JOURNAL_FOLDER


def source_of(folder: Path) -> str:
    """The epoch of a state folder, which names its journals; raises ConfigError where it is none."""
    try:
        return (folder / EPOCH_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"{folder} is not the state folder of a bot: set trade.state, or name it with --state"
        ) from None


@contextmanager
def only_projector(folder: Path) -> Iterator[None]:
    """Own the projection of a state folder meanwhile; raises ConfigError where somebody else does."""
    try:
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"{folder / LOCK_FILE} cannot be made: {error.strerror}") from error
    try:
        lock(handle, folder / LOCK_FILE, ConfigError(f"another projector works on {folder}: end it first"))
        yield
    finally:
        os.close(handle)


# --- following --------------------------------------------------------------------------------------------------------


class Following:
    """Projects what the journals of a state folder say, for as long as it is wanted.

    Where the database is away it tries again, with longer and longer pauses, and catches up.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        clock: Callable[[], int],
        *,
        say: Callable[[str], None] = lambda _text: None,
        show: Callable[[ProjectorStatus], None] = lambda _status: None,
        poll_s: float = POLL_S,
    ) -> None:
        self._database = database
        self._folder = folder
        self._clock = clock
        self._say = say
        self._show = show
        self._poll_s = poll_s
        self._tail = StateJournals(folder)
        self._source = source_of(folder)
        self._projector = Projector(database, self._tail, self._source)
        self._is_ready = False
        self._has_failed = False
        self._next_prune = 0
        self._next_status = 0
        self._next_audit = 0
        self._audited = audit.BEGINNING
        """The last record that is known to be sound, with all before it."""
        self._audit: asyncio.Task[audit.Walk] | None = None
        now = self._reached_ts = clock()
        self.status = ProjectorStatus(
            health=Health.BEHIND,
            audit_break=_known_break(folder, database.name),
            database=database.name,
            pid=os.getpid(),
            started_ts=now,
            updated_ts=now,
        )

    async def once(self, stop: asyncio.Event | None = None, *, audit_within: float | None = None) -> Progress:
        """Bring the rows up to what is written by now, unless stopped; raises what stands in the way.

        Waits for the verification of the audit log, for `audit_within` seconds where they are given.
        """
        await self._prepare()
        progress, steps = Progress("", 0, 0, 0), 0
        async with aclosing(self._projector.project()) as committed:
            async for progress in committed:
                steps += progress.steps
                self._note(progress)
                if stop is not None and stop.is_set():
                    return msgspec.structs.replace(progress, steps=steps)
        self.status.lag_seconds, self.status.lag_steps = 0.0, 0
        await self._look_at_audit(audit_within)
        self._write(Health.FOLLOWING, "")
        await self._prune()
        return msgspec.structs.replace(progress, steps=steps)

    async def until(self, stop: asyncio.Event) -> None:
        """Follow until `stop`; raises ConfigError and DataError, which no waiting mends."""
        pause = self._poll_s
        try:
            while not stop.is_set():
                try:
                    await self.once(stop, audit_within=AUDIT_PATIENCE_S)
                    pause = self._poll_s
                    self._recovered()
                except StorageError as error:
                    self._failed(error)
                    pause = min(2 * pause, MAX_PAUSE_S)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
            self._next_audit = 0
            with suppress(StorageError):
                # What was written last before a bot ended and told us to.
                await self.once(audit_within=AUDIT_PATIENCE_S)
        except StakanError as error:
            self._write(Health.FAILED, str(error))
            raise
        finally:
            await self._leave_audit()
        self._write(Health.STOPPED, self.status.last_error)

    # --- parts ------------------------------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        """Once: bring the schema up to date, and see whether what is live is as it was left."""
        if self._is_ready:
            return
        before, after = await schema.upgrade(self._database)
        if before != after:
            self._say(f"{self._database.name}: schema {after} (it had {before})")
        state = await self._projector.state()
        mended = await mend_live(self._database, self._tail, self._source, state, By(ACTOR, self._clock()))
        for difference in mended:
            self._say(f"repaired: {difference.table} {to_json(difference.key)} was {difference.what}")
        self._is_ready = True

    async def _look_at_audit(self, within: float | None) -> None:
        """Verify what was appended to the audit log since the last look, whoever did; the first look is at all of it.

        So what is known of a break outlives us: it is one until a whole log is seen to be sound.
        """
        now = self._clock()
        if self._audit is None:
            if now < self._next_audit:
                return
            self._next_audit = now + AUDIT_NS
            self._audit = asyncio.create_task(audit.walk(self._database, self._audited))
        done, _ = await asyncio.wait((self._audit,), timeout=within)
        if done:
            self._audit = None
            self._take_audit(*done.pop().result())

    def _take_audit(self, last: audit.Link, broken: audit.Broken | None) -> None:
        self._audited = last
        found = "" if broken is None else f"the audit log is broken at record {broken.id}: {broken.why}"
        if found and found != self.status.audit_break:
            self._say(found)
        self.status.audit_break = found

    async def _leave_audit(self) -> None:
        """Whoever closes the database next must not find it being read."""
        if self._audit is not None:
            self._audit.cancel()
            await asyncio.gather(self._audit, return_exceptions=True)
            self._audit = None

    async def _prune(self) -> None:
        """Once an hour, when there is nothing else to do."""
        now = self._clock()
        if now < self._next_prune:
            return
        self._next_prune = now + HOUR
        # Old rows do no harm, and a database that is away is told of by whoever needs it.
        with suppress(StorageError):
            await prune(self._database, now)

    def _note(self, progress: Progress) -> None:
        """How far it is in between; of what just happened that is as good as following."""
        now = self._clock()
        self._reached_ts = progress.ts or self._reached_ts
        self.status.run, self.status.number = progress.run, progress.number
        self.status.lag_seconds = max(0.0, (now - self._reached_ts) / SECOND)
        if now >= self._next_status:
            self._next_status = now + SECOND
            self._write(Health.BEHIND if self.status.lag_seconds > BEHIND_S else Health.FOLLOWING, "")

    def _failed(self, error: StorageError) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._say(f"{error}; it is tried again until it works")
        self.status.lag_steps = self._projector.behind()
        waiting = self.status.lag_steps > 0
        self.status.lag_seconds = max(0.0, (self._clock() - self._reached_ts) / SECOND) if waiting else 0.0
        self._write(Health.DATABASE_AWAY if isinstance(error, DatabaseAway) else Health.FAILED, str(error))

    def _recovered(self) -> None:
        if self._has_failed:
            self._has_failed = False
            self._say(f"{self._database.name} works again: projected up to {self.status.run} #{self.status.number}")

    def _write(self, health: Health, error: str) -> None:
        status = self.status
        status.health, status.last_error, status.updated_ts = health, error, self._clock()
        try:
            write_status(self._folder, status)
        except OSError as problem:
            self._say(f"{self._folder / STATUS_FILE} cannot be written: {problem.strerror}")
        self._show(status)


def _known_break(folder: Path, database: str) -> str:
    """The break in the audit log of a database that was known when a projector of the folder last said something."""
    try:
        status = read_status(folder)
    except DataError:
        return ""
    return status.audit_break if status is not None and status.database == database else ""
