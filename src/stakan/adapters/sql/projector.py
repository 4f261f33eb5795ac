"""The projector: writes what journals say into a database, each step exactly once, whatever breaks in between."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from stakan.adapters.sql import audit
from stakan.adapters.sql.batch import Batch
from stakan.adapters.sql.database import Database
from stakan.adapters.sql.folding.state import ProjectionState, from_bytes, to_bytes
from stakan.adapters.sql.moments import JournalTail, Moment, moments
from stakan.adapters.sql.projection import Fold
from stakan.adapters.sql.tables import projection
from stakan.adapters.sql.writing import Writer
from stakan.core.domain.errors import ConfigError, Conflict

BATCH_ROWS = 2_000
"""Rows and audit entries that make a transaction large enough."""
QUIET_STEPS = 20_000
"""Steps without a row after which the position is written all the same."""


class Until(NamedTuple):
    """Where to stop: after a step of a run, with its end or without."""

    run: str
    number: int
    with_end: bool


class Progress(msgspec.Struct, frozen=True):
    """How far the rows are."""

    run: str
    """Empty before the first."""
    number: int
    ts: int
    """`ts_recv` of the last step that is projected; 0 before the first."""
    steps: int
    """Moments projected since it was told last."""


class Projector:
    """Follows one state folder's journals with one database.

    A transaction holds rows, their audit records and the new position; it begins by claiming the old position, so two
    projectors cannot both write a step. Whatever fails, the next call goes on from what the database says.
    """

    def __init__(
        self,
        database: Database,
        tail: JournalTail,
        source: str,
        *,
        batch_rows: int = BATCH_ROWS,
        until: Until | None = None,
    ) -> None:
        self._database = database
        self._tail = tail
        self._source = source
        self._batch_rows = batch_rows
        self._until = until
        self._writer = Writer()
        self._fold: Fold | None = None
        self._written = audit.Reached("", 0)

    async def state(self) -> ProjectionState:
        """What is remembered at the position that the database has reached.

        Raises ConfigError where its rows are another state folder's.
        """
        return (await self._loaded()).state

    async def catch_up(self) -> Progress:
        """Project all that is written by now, as `project` does; returns how far that is."""
        steps = 0
        async with aclosing(self.project()) as committed:
            async for progress in committed:
                steps += progress.steps
        state = (await self._loaded()).state
        return Progress(state.run, state.number, state.ts, steps)

    async def project(self) -> AsyncGenerator[Progress]:
        """Project all that is written by now, batch by batch; tells after each.

        Raises DatabaseAway, StorageError, DataError for a damaged journal, and Conflict where another projector was
        faster; each time, what was committed stays, and the next call goes on from there.
        """
        fold = await self._loaded()
        self._fold = None  # until all went well: a fold that is ahead of the database is of no use
        state = fold.state
        try:
            for batch, count in self._batches(fold):
                if batch or count >= QUIET_STEPS:
                    await self._commit(state, batch)
                yield Progress(state.run, state.number, state.ts, count)
        except BaseException:
            self._writer.forget()
            raise
        self._fold = fold

    def behind(self) -> int:
        """How many steps are written in the journals and not in the rows."""
        count = 0
        for run in _from(self._tail.runs(), self._written.run):
            first, last = self._tail.span(run)
            done = self._written.number if run == self._written.run else first - 1
            count += max(0, last - max(done, first - 1))
        return count

    # --- reading ----------------------------------------------------------------------------------------------------

    def _batches(self, fold: Fold) -> Iterator[tuple[Batch, int]]:
        """Stretches of what is written by now, with the number of their moments."""
        count = 0
        for run in _from(self._tail.runs(), fold.state.run):
            if run != fold.state.run:
                fold.begin(run, self._tail.header(run), carries_on=self._tail.carries_on(run))
            for moment in self._moments(fold.state):
                fold.take(moment)
                count += 1
                if len(fold.batch) >= self._batch_rows or count >= QUIET_STEPS:
                    yield fold.take_batch(), count
                    count = 0
            if self._until is not None and run == self._until.run:
                break
        yield fold.take_batch(), count

    def _moments(self, state: ProjectionState) -> Iterator[Moment]:
        until = self._until if self._until is not None and self._until.run == state.run else None
        for moment in moments(self._tail.after(state.run, state.number)):
            if until is not None and (moment.number > until.number or (moment.is_end and not until.with_end)):
                return
            if not (moment.is_end and state.is_complete):
                yield moment

    # --- writing ----------------------------------------------------------------------------------------------------

    async def _loaded(self) -> Fold:
        if self._fold is None:
            async with self._database.transaction() as connection:
                state = await _kept(connection, self._source)
            if isinstance(state, Until):
                state = self._folded_anew(state)
            self._fold = Fold(state)
            self._written = audit.Reached(state.run, state.number)
        return self._fold

    def _folded_anew(self, until: Until) -> ProjectionState:
        """The state that another release's cannot be read from: from the journal again, up to the same position."""
        again = Projector(self._database, self._tail, self._source, until=until)
        fold = Fold()
        for _ in again._batches(fold):
            pass
        return fold.state

    async def _commit(self, state: ProjectionState, batch: Batch) -> None:
        reached = audit.Reached(state.run, state.number)
        async with self._database.transaction() as connection:
            claimed = await connection.execute(
                update(projection)
                .where(projection.c.run == self._written.run, projection.c.number == self._written.number)
                .values(run=state.run, number=state.number, ts=state.ts, state=to_bytes(state))
            )
            if claimed.rowcount != 1:
                raise Conflict("another projector has written these steps: one is enough")
            await self._writer.write(connection, batch)
            await audit.append(connection, batch.audit, reached)
        self._written = reached


async def _kept(connection: AsyncConnection, source: str) -> ProjectionState | Until:
    """The state that the database keeps, or where it was made where it cannot be read."""
    row = (await connection.execute(select(projection))).first()
    if row is None:
        state = ProjectionState()
        first = {"single": 1, "source": source, "run": "", "number": 0, "ts": 0, "state": to_bytes(state)}
        await connection.execute(insert(projection), first)
        return state
    demand_source(row.source, source)
    found = from_bytes(row.state)
    return found if found is not None else Until(row.run, row.number, with_end=False)


def demand_source(kept: str, source: str) -> None:
    """Raise ConfigError where rows follow from other journals."""
    if kept != source:
        raise ConfigError(
            f"this database holds the rows of another state folder (epoch {kept}): choose another database"
        )


def _from(runs: Sequence[str], first: str) -> list[str]:
    """Runs from a name on."""
    return [run for run in runs if run >= first]
