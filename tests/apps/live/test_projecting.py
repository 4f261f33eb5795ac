"""The projector beside a bot: it follows, it ends with it, and nothing opens while it cannot write."""

import asyncio
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.apps.live.sockets import LIMIT_S, a_run, an_exchange, eagerly, lived, where

from stakan.adapters.journal.reading import read_steps
from stakan.apps.config import load_settings
from stakan.apps.database import SQLITE_FILE
from stakan.apps.live import projecting
from stakan.apps.live.mode import Mode
from stakan.apps.processes import STAKAN
from stakan.apps.projection import SOCKET_FILE
from stakan.apps.projector_status import Health, ProjectorStatus, read_status, write_status
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.facts import PartChanged, SignalRefused
from stakan.core.domain.reasons import Reason

pytestmark = pytest.mark.usefixtures("compiled", "keys")

FOLLOWED = ("database.follow=true",)


def sent(folder):
    return {
        command.order.client_order_id
        for run in (folder / "runs").iterdir()
        for step in read_steps(run / "journal", torn=True)
        for command in step.commands
        if isinstance(command, SubmitOrder)
    }


def rows(folder, query):
    with closing(sqlite3.connect(folder / SQLITE_FILE)) as connection:
        return connection.execute(query).fetchall()


def test_all_orders_of_a_run_are_in_the_database_when_it_has_ended(tmp_path):
    folder = tmp_path / "s"
    asyncio.run(a_run(Mode.TESTNET, folder, 6, *eagerly(), *FOLLOWED))
    status = read_status(folder)
    assert status is not None
    assert status.health is Health.STOPPED
    assert {row[0] for row in rows(folder, "SELECT client_order_id FROM orders")} == sent(folder)


def test_the_projector_of_a_killed_bot_ends_and_the_next_one_goes_on(tmp_path):
    folder = tmp_path / "s"

    async def kill():
        async with an_exchange() as url, asyncio.timeout(LIMIT_S):
            words = [f"--set={one}" for one in (*eagerly(), *where(url, folder), *FOLLOWED)]
            bot = await asyncio.create_subprocess_exec(*STAKAN, "trade", "--mode", "testnet", *words)
            try:
                await lived(folder / SOCKET_FILE)
                while (status := read_status(folder)) is None:  # noqa: ASYNC110 - a file
                    await asyncio.sleep(0.1)
            finally:
                bot.send_signal(signal.SIGKILL)
                await bot.wait()
            while is_alive(status.pid):  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.1)
            return await a_run(Mode.TESTNET, folder, 4, *eagerly(), *FOLLOWED, url=url)

    asyncio.run(kill())
    assert {row[0] for row in rows(folder, "SELECT client_order_id FROM orders")} == sent(folder)


def is_alive(pid):
    """A zombie that nobody waited for is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"


def test_nothing_opens_while_the_database_is_away(tmp_path):
    folder = tmp_path / "s"
    away = ("database.url=postgresql://nobody@127.0.0.1:1/none", *FOLLOWED)
    asyncio.run(a_run(Mode.TESTNET, folder, 20, *eagerly(), *away))
    (run,) = (folder / "runs").iterdir()
    steps = list(read_steps(run / "journal"))
    gone = next(
        step.number
        for step in steps
        for fact in step.facts
        if isinstance(fact, PartChanged) and fact.part == "database" and fact.why is not None
    )
    later = [step for step in steps if step.number > gone]
    entries = [one for step in later for one in step.commands if isinstance(one, SubmitOrder) and one.order.stop_loss]
    assert not entries
    assert Reason.IMPAIRED in {fact.reason for step in later for fact in step.facts if isinstance(fact, SignalRefused)}


def test_a_break_that_an_earlier_projector_told_counts_until_this_one_has_looked(tmp_path, monkeypatch):
    class Child:
        code = None

        def __init__(self, *_):
            pass

    monkeypatch.setattr(projecting, "Child", Child)
    status = ProjectorStatus(health=Health.STOPPED, database="x", pid=1, started_ts=1, updated_ts=1)
    process = projecting.ProjectorProcess(load_settings(None, [f"trade.state={tmp_path}"], {}), tmp_path)
    assert process.trouble() is None
    write_status(tmp_path, msgspec.structs.replace(status, health=Health.FAILED, last_error="was away"))
    assert process.trouble() is None
    broken = msgspec.structs.replace(status, audit_break="broken at record 7")
    write_status(tmp_path, broken)
    assert process.trouble() == "broken at record 7"
    fresh = {"health": Health.FOLLOWING, "updated_ts": time.time_ns()}
    write_status(tmp_path, msgspec.structs.replace(broken, **fresh))
    assert process.trouble() == "broken at record 7"
    write_status(tmp_path, msgspec.structs.replace(status, **fresh))
    assert process.trouble() is None


def test_nothing_opens_while_the_audit_log_is_broken(tmp_path):
    folder = tmp_path / "s"
    spoil = (
        "DROP TRIGGER audit_log_no_update;"
        "CREATE TRIGGER spoil AFTER INSERT ON audit_log BEGIN"
        " UPDATE audit_log SET actor = 'nobody' WHERE id = NEW.id; END;"
    )

    async def runs():
        async with an_exchange() as url:
            await a_run(Mode.TESTNET, folder, 2, *eagerly(), *FOLLOWED, url=url)
            with closing(sqlite3.connect(folder / SQLITE_FILE)) as database:
                database.executescript(spoil)
            await a_run(Mode.TESTNET, folder, 12, *eagerly(), *FOLLOWED, url=url)

    asyncio.run(runs())
    _, run = sorted((folder / "runs").iterdir())
    away = [
        fact.why
        for step in read_steps(run / "journal")
        for fact in step.facts
        if isinstance(fact, PartChanged) and fact.part == "database"
    ]
    assert "its content is not what was sealed" in away[-1]
