"""A status that was changed by hand in the database is found and repaired at the next start.

The journal is the only truth; rows are its projection. What somebody changed is put right with a record of what was
found, and the record itself can be neither changed nor taken out.
"""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from stakan.adapters.journal.writing import FileJournal
from stakan.adapters.sql.audit import verify
from stakan.adapters.sql.database import Database, sqlite_url
from stakan.apps.live.state_folder import RUNS, StateFolder
from stakan.apps.projector import Following
from stakan.apps.prove.bot import TinyBot, accepted, an_order, header
from stakan.apps.prove.story import Story
from stakan.apps.recorded_run import JOURNAL_FOLDER

_RUN = "20260101-000000-testnet"


def prove(story: Story) -> None:
    """With a journal, a SQLite database and the projector of a running bot."""
    with TemporaryDirectory() as folder:
        with StateFolder(Path(folder)) as state:
            client = _an_order_that_rests(state.folder)
        story.did("a bot has an order that rests; its journal says so", client)
        rows = state.folder / "rows.sqlite"
        _projected(story, state.folder, rows)
        before = _ask(rows, "SELECT status FROM orders")
        story.claim("the projector writes it into the database", before, before == "placed")
        _change(rows, "UPDATE orders SET status = 'cancelled'")
        story.did("somebody changes the row by hand", str(_ask(rows, "SELECT status FROM orders")))
        _projected(story, state.folder, rows)
        after = _ask(rows, "SELECT status FROM orders")
        story.claim("at the next start the row is what the journal says", after, after == "placed")
        _look_at_audit(story, rows)


def _an_order_that_rests(folder: Path) -> str:
    with FileJournal(folder / RUNS / _RUN / JOURNAL_FOLDER, header()) as journal:
        bot = TinyBot(journal)
        order = an_order(bot)
        bot.step(accepted(order, bot.now))
    return order.client_order_id


def _projected(story: Story, folder: Path, rows: Path) -> None:
    """One life of the projector."""

    async def once() -> None:
        database = Database(sqlite_url(rows))
        try:
            await Following(database, folder, time.time_ns, say=story.did).once()
        finally:
            await database.close()

    asyncio.run(once())


def _look_at_audit(story: Story, rows: Path) -> None:
    found = _ask(rows, "SELECT count(*) FROM audit_log WHERE actor = 'projector'")
    story.claim("the audit log says what was found and mended", f"{found} record", found == 1)
    for what, statement in (
        ("changed", "UPDATE audit_log SET reason = 'nothing happened'"),
        ("deleted", "DELETE FROM audit_log"),
    ):
        try:
            _change(rows, statement)
            refusal = "it was"
        except sqlite3.DatabaseError as error:
            refusal = str(error)
        story.claim(f"the database itself refuses that a record is {what}", refusal, refusal != "it was")

    async def chain() -> str:
        database = Database(sqlite_url(rows))
        try:
            walked = await verify(database)
        finally:
            await database.close()
        return f"{walked.records} records" if walked.broken is None else str(walked.broken)

    told = asyncio.run(chain())
    story.claim("its chain of hashes is whole", told, told.endswith("records"))


def _ask(rows: Path, query: str) -> object:
    with closing(sqlite3.connect(rows)) as connection:
        return connection.execute(query).fetchone()[0]


def _change(rows: Path, statement: str) -> None:
    with closing(sqlite3.connect(rows)) as connection, connection:
        connection.execute(statement)
