"""The projecting program: follows a growing journal, outlives its database, says how it is."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import msgspec
import pytest
from sqlalchemy import select, text
from tests.adapters.sql.servers import administer, need_postgresql, postgresql_name, postgresql_url
from tests.apps.projected import RUN, Bot, a_state

from stakan.adapters.sql import audit
from stakan.adapters.sql import tables as t
from stakan.adapters.sql.check import compare
from stakan.adapters.sql.database import Database, sqlite_url
from stakan.apps import projector
from stakan.apps.config import load_settings
from stakan.apps.database import SQLITE_FILE, existing_database, open_database
from stakan.apps.projector import AUDIT_NS, Following, StateJournals, only_projector, source_of
from stakan.apps.projector_status import STATUS_FILE, Health, ProjectorStatus, read_status, write_status
from stakan.core.domain.errors import ConfigError, DataError

PATIENCE_S = 30.0


@pytest.fixture
def server():
    """A PostgreSQL database that a test may cut off; gives its name."""
    need_postgresql()
    name = f"{postgresql_name()}_cut"
    asyncio.run(administer(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}"))
    yield name
    asyncio.run(administer(f"DROP DATABASE {name} WITH (FORCE)"))


async def until(what):
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.01)


class Watched:
    """A projector that runs beside the test."""

    def __init__(self, url, state):
        self.said = []
        self.database = Database(url)
        self.following = Following(self.database, state, time.time_ns, say=self.said.append, poll_s=0.01)
        self.stop = asyncio.Event()
        self.state = state

    async def __aenter__(self):
        self.task = asyncio.create_task(self.following.until(self.stop))
        return self

    async def __aexit__(self, *_):
        self.stop.set()
        try:
            await self.task
        finally:
            await self.database.close()

    def is_at(self, number, health=Health.FOLLOWING):
        if self.task.done():
            self.task.result()
        status = self.following.status
        return (status.number, status.health) == (number, health)


def test_a_journal_is_followed_while_it_grows(tmp_path):
    state = tmp_path / "state"
    bot = Bot(state, length=12)

    async def go():
        async with Watched(sqlite_url(state / SQLITE_FILE), state) as watched:
            for _ in range(3):
                bot.live(15)
                await until(lambda: watched.is_at(bot.steps[bot.written - 1][1].number))
            bot.end()
            await until(lambda: watched.is_at(bot.steps[-1][1].number))
            on_disk = read_status(state)
            assert (on_disk.run, on_disk.number, on_disk.lag_steps) == (RUN, bot.steps[-1][1].number, 0)
            assert on_disk.pid == os.getpid()
            found = await compare(watched.database, StateJournals(state), source_of(state))
            assert found.differences == []
        assert read_status(state).health is Health.STOPPED

    asyncio.run(go())


def test_a_database_that_goes_away_is_missed_once_and_caught_up_with(tmp_path, server):
    state = tmp_path / "state"
    bot = Bot(state, length=12)
    bot.live(20)
    cut = f"ALTER DATABASE {server} ALLOW_CONNECTIONS false"
    ends = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{server}'"

    async def go():
        async with Watched(postgresql_url(server), state) as watched:
            await until(lambda: watched.following.status.number >= 18)
            await administer(cut, ends)
            bot.live(10)
            await until(lambda: watched.following.status.health is Health.DATABASE_AWAY)
            await until(lambda: read_status(state).lag_steps > 0)
            status = read_status(state)
            assert status.health is Health.DATABASE_AWAY
            assert "does not answer" in status.last_error
            assert status.lag_seconds > 0
            bot.end()
            await administer(f"ALTER DATABASE {server} ALLOW_CONNECTIONS true")
            await until(lambda: watched.is_at(bot.steps[-1][1].number))
            assert read_status(state).last_error == ""
            found = await compare(watched.database, StateJournals(state), source_of(state))
            assert found.differences == []
            return [line for line in watched.said if "schema" not in line]

    missed, back = asyncio.run(go())
    assert "it is tried again" in missed
    assert "works again" in back


def test_a_database_that_is_away_from_the_beginning_is_waited_for(tmp_path):
    state = a_state(tmp_path, length=6)
    nowhere = tmp_path / "later"

    async def go():
        async with Watched(sqlite_url(nowhere / "x.sqlite"), state) as watched:
            await until(lambda: watched.following.status.health is Health.DATABASE_AWAY)
            assert watched.following.status.lag_steps > 0
            nowhere.mkdir()
            await until(lambda: watched.following.status.health is Health.FOLLOWING)
            async with watched.database.reading() as connection:
                return (await connection.execute(select(t.runs.c.is_complete))).scalar_one()

    assert asyncio.run(go()) is True


def test_what_was_changed_while_it_was_away_is_mended_when_it_starts(tmp_path):
    state = tmp_path / "state"
    bot = Bot(state, length=12)
    bot.live(25)
    url = sqlite_url(state / SQLITE_FILE)

    async def go():
        async with Watched(url, state) as watched:
            await until(lambda: watched.following.status.number >= 23)
        database = Database(url)
        async with database.transaction() as connection:
            live = (await connection.execute(select(t.positions.c.id).where(t.positions.c.is_live))).all()
            await connection.execute(text("UPDATE positions SET status = 'closed' WHERE is_live"))
        await database.close()
        assert live
        bot.journal.abandon()
        async with Watched(url, state) as watched:
            await until(lambda: watched.following.status.health is Health.FOLLOWING)
            async with watched.database.reading() as connection:
                query = select(t.positions.c.status).where(t.positions.c.is_live)
                return watched.said, set((await connection.execute(query)).scalars())

    said, statuses = asyncio.run(go())
    assert said
    assert all(line.startswith("repaired: positions") for line in said)
    assert "closed" not in statuses


def spoiled(state, change):
    """What only somebody who owns the database can do."""
    with sqlite3.connect(state / SQLITE_FILE) as database:
        database.execute("DROP TRIGGER IF EXISTS audit_log_no_update")
        assert database.execute(f"UPDATE audit_log SET {change}").rowcount == 1
    database.close()


def test_a_break_in_what_was_just_appended_to_the_audit_log_is_told_until_it_is_none(tmp_path):
    state = tmp_path / "state"
    bot = Bot(state, length=12)
    now, said = [0], []

    async def go():
        database = Database(sqlite_url(state / SQLITE_FILE))
        following = Following(database, state, lambda: now[0], say=said.append)

        async def found(steps=0):
            bot.live(steps)
            await following.once()
            return read_status(state).audit_break

        try:
            before = await found(15)
            earlier = (await audit.walk(database, audit.BEGINNING)).last
            unseen = await found(15)
            newest = (await audit.walk(database, audit.BEGINNING)).last
            assert newest.id > earlier.id
            spoiled(state, f"ts = ts + 1 WHERE id = {newest.id}")
            at_once = await found()
            now[0] += AUDIT_NS
            later = [await found()]
            now[0] += AUDIT_NS
            later.append(await found(5))
            spoiled(state, f"ts = ts - 1 WHERE id = {newest.id}")
            now[0] += AUDIT_NS
            return newest.id, (before, unseen, at_once), later, await found()
        finally:
            bot.end()
            await database.close()

    newest, silent, told, mended = asyncio.run(go())
    assert silent == ("", "", "")
    assert told == [f"the audit log is broken at record {newest}: its content is not what was sealed"] * 2
    assert [line for line in said if "audit" in line] == told[:1]
    assert mended == ""


def test_a_break_in_the_audit_log_is_still_told_after_a_restart_until_the_whole_log_is_sound(tmp_path):
    state = a_state(tmp_path, length=6)
    url = sqlite_url(state / SQLITE_FILE)

    async def restarted():
        database = Database(url)
        try:
            following = Following(database, state, time.time_ns)
            remembered = following.status.audit_break
            await following.once()
            return remembered, read_status(state).audit_break
        finally:
            await database.close()

    def after(change):
        spoiled(state, change)
        return asyncio.run(restarted())

    told = "the audit log is broken at record 2: its content is not what was sealed"
    assert asyncio.run(restarted()) == ("", "")
    assert after("ts = ts + 1 WHERE id = 2") == ("", told), "it was there before us"
    assert asyncio.run(restarted()) == (told, told)
    (state / STATUS_FILE).unlink()
    assert asyncio.run(restarted()) == ("", told)
    assert after("ts = ts - 1 WHERE id = 2") == (told, "")


def test_rows_do_not_wait_for_a_long_audit_log_and_a_break_stays_until_it_was_read(tmp_path, monkeypatch):
    state = tmp_path / "state"
    bot = Bot(state, length=12)
    bot.live(15)
    url = sqlite_url(state / SQLITE_FILE)
    status = ProjectorStatus(health=Health.STOPPED, database=Database(url).name, pid=1, started_ts=2, updated_ts=3)
    write_status(state, msgspec.structs.replace(status, audit_break="broken once"))
    read = asyncio.Event()
    walk = audit.walk

    async def slow(database, after):
        await read.wait()
        return await walk(database, after)

    monkeypatch.setattr(audit, "walk", slow)
    monkeypatch.setattr(projector, "AUDIT_PATIENCE_S", 0.01)

    async def go():
        async with Watched(url, state) as watched:
            for _ in range(2):
                bot.live(10)
                await until(lambda: watched.is_at(bot.steps[bot.written - 1][1].number))
                assert read_status(state).audit_break == "broken once"
            read.set()
            watched.following._next_audit = 0
            await until(lambda: read_status(state).audit_break == "")
            read.clear()
            watched.following._next_audit = 0
        bot.journal.abandon()

    asyncio.run(go())
    assert read_status(state).health is Health.STOPPED, "it does not wait for the log at its end either"


def test_what_was_said_of_another_database_is_not_remembered(tmp_path):
    state = a_state(tmp_path, length=4)
    status = ProjectorStatus(health=Health.STOPPED, database="SQLite other", pid=1, started_ts=2, updated_ts=3)
    write_status(state, msgspec.structs.replace(status, audit_break="broken"))
    database = Database(sqlite_url(state / SQLITE_FILE))
    assert Following(database, state, time.time_ns).status.audit_break == ""
    (state / STATUS_FILE).write_text("{")
    assert Following(database, state, time.time_ns).status.audit_break == ""


def test_the_end_of_the_audit_log_is_looked_at_before_the_projector_ends(tmp_path):
    state = tmp_path / "state"
    bot = Bot(state, length=12)
    bot.live(15)

    async def go():
        async with Watched(sqlite_url(state / SQLITE_FILE), state) as watched:
            await until(lambda: watched.following.status.number > 0 and read_status(state) is not None)
            await until(lambda: read_status(state).health is Health.FOLLOWING)
            bot.live(10)
            await until(lambda: watched.is_at(bot.steps[bot.written - 1][1].number))
            spoiled(state, "ts = ts + 1 WHERE id = (SELECT max(id) FROM audit_log)")
        bot.journal.abandon()
        return read_status(state)

    status = asyncio.run(go())
    assert status.health is Health.STOPPED
    assert "the audit log is broken at record" in status.audit_break


def test_damage_of_the_journal_ends_it_and_is_named(tmp_path):
    state = a_state(tmp_path, length=4)
    run = next((state / "runs").iterdir())
    file = run / "journal" / "000001.journal"
    file.write_bytes(file.read_bytes()[:100] + b"nonsense" + file.read_bytes()[108:])

    async def go():
        async with Watched(sqlite_url(state / SQLITE_FILE), state) as watched:
            await watched.task

    with pytest.raises(DataError, match=r"000001\.journal"):
        asyncio.run(go())
    status = read_status(state)
    assert status.health is Health.FAILED
    assert "000001.journal" in status.last_error


# --- the state folder --------------------------------------------------------------------------------------------------


def test_a_run_that_has_just_been_made_is_not_read_yet(tmp_path):
    state = a_state(tmp_path, length=4)
    young = state / "runs" / "30000101-000000-paper" / "journal"
    young.mkdir(parents=True)
    assert list(StateJournals(state).runs()) == [RUN]
    whole = (state / "runs" / RUN / "journal" / "000001.journal").read_bytes()
    for length in (0, 5, 200):
        (young / "000001.journal").write_bytes(whole[:length])
        assert list(StateJournals(state).runs()) == [RUN]
    (young / "000001.journal").write_bytes(whole)
    assert len(StateJournals(state).runs()) == 2
    assert StateJournals(tmp_path / "nothing").runs() == []


def test_one_projector_works_on_a_state_folder(tmp_path):
    with (
        only_projector(tmp_path),
        pytest.raises(ConfigError, match="another projector works on"),
        only_projector(tmp_path),
    ):
        pass
    with only_projector(tmp_path):
        pass


def test_what_is_no_state_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is not the state folder of a bot"):
        source_of(tmp_path)


def test_a_status_is_read_as_it_was_written(tmp_path):
    status = ProjectorStatus(health=Health.BEHIND, database="SQLite x", pid=1, started_ts=2, updated_ts=3, lag_steps=4)
    assert read_status(tmp_path) is None
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status
    assert json.loads((tmp_path / STATUS_FILE).read_text())["health"] == "behind"
    (tmp_path / STATUS_FILE).write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_status(tmp_path)


# --- which database ----------------------------------------------------------------------------------------------------


def url_of(tmp_path, *overrides, env="", open_=open_database):
    file = tmp_path / ".env"
    file.write_text(env)
    database = open_(load_settings(None, [f"trade.state={tmp_path}", *overrides], {}), file)
    asyncio.run(database.close())
    return database.url


def test_without_configuration_it_is_a_file_in_the_state_folder(tmp_path):
    assert url_of(tmp_path) == sqlite_url(tmp_path / SQLITE_FILE)
    with pytest.raises(ConfigError, match="stakan project"):
        url_of(tmp_path, open_=existing_database)


def test_parts_name_a_postgresql_and_the_password_comes_from_the_environment(tmp_path):
    url = url_of(tmp_path, "database.host=db.example", "database.user=olga", env="DB_PASSWORD=hunter2\n")
    assert url.render_as_string(hide_password=False) == "postgresql+asyncpg://olga:hunter2@db.example:5432/stakan"
    assert "hunter2" not in str(url)
    assert (
        url_of(tmp_path, "database.name=mine").render_as_string() == "postgresql+asyncpg://stakan@127.0.0.1:5432/mine"
    )


def test_an_address_wins_over_parts(tmp_path):
    url = url_of(tmp_path, 'database.url="postgresql://olga@there:1/x"', "database.host=here", env="DB_PASSWORD=p\n")
    assert (url.host, url.port, url.password) == ("there", 1, "p")
    assert url_of(tmp_path, f'database.url="sqlite:///{tmp_path}/a/b.sqlite"').database == f"{tmp_path}/a/b.sqlite"


# --- as a program ------------------------------------------------------------------------------------------------------


def test_the_program_ends_in_order_when_it_is_asked_to(tmp_path):
    state = a_state(tmp_path, length=4)
    command = "import typer; from stakan.apps.cli.project import project_command; typer.run(project_command)"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", command, "--state", str(state)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    deadline = time.monotonic() + PATIENCE_S
    while (status := read_status(state)) is None or status.health is not Health.FOLLOWING:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=PATIENCE_S)[::-1]
    assert process.returncode == 0, said
    assert read_status(state).health is Health.STOPPED
    assert "Traceback" not in said
