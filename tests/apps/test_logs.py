"""Logs: whole lines in the right files, nothing secret in them, and nobody waits for a disk or a terminal."""

import asyncio
import collections
import gc
import io
import json
import logging
import shutil
import threading
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.contextvars import bound_contextvars

from stakan.apps.logs import LogPlan, Logs, get_logger, plan_of
from stakan.apps.logs.sinks import DailyFiles, Line, Pump, Terminal, remove_before
from stakan.apps.sections import LogsSection
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.units import Side

SECRET = "aB3dE6gH9jK2"


@pytest.fixture
def screen(capsys):
    """What people see."""
    seen = []

    def look():
        seen.append(capsys.readouterr().err)
        return "".join(seen)

    return look


def a_plan(folder, **changes):
    return LogPlan(**{"program": "bot", "folder": folder, "level": logging.DEBUG, **changes})


def lines_of(folder, pattern="bot_2*.log"):
    return [json.loads(line) for file in sorted(folder.glob(pattern)) for line in file.read_text().splitlines()]


def raising(error, cause=None):
    raise error from cause


def said(folder, say, *secrets, **changes):
    """All lines of a program that says something."""
    with Logs(a_plan(folder, **changes), secrets) as logs:
        say(logs)
    return lines_of(folder)


# --- what a line is -------------------------------------------------------------------------------------------------


def test_a_line_is_one_json_object_with_its_time_level_logger_and_fields(tmp_path, screen):
    (line,) = said(tmp_path, lambda _: get_logger("stakan.bot").info("fill", price=Decimal("1.50"), side=Side.BUY))
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is UTC
    assert line["correlation"].startswith("bot-")
    found = {key: line[key] for key in ("level", "logger", "event", "program", "price", "side")}
    assert found == {
        "level": "info",
        "logger": "stakan.bot",
        "event": "fill",
        "program": "bot",
        "price": "1.50",
        "side": "BUY",
    }


def test_loggers_of_the_standard_library_go_the_same_way(tmp_path, screen):
    def say(_):
        logging.getLogger("stakan.adapters.x").warning("lost %s of %d", "one", 2, extra={"path": "/v5/order"})

    (line,) = said(tmp_path, say)
    assert (line["level"], line["logger"], line["event"], line["path"]) == (
        "warning",
        "stakan.adapters.x",
        "lost one of 2",
        "/v5/order",
    )


def test_whoever_asks_structlog_itself_is_heard_too(tmp_path, screen):
    (line,) = said(tmp_path, lambda _: structlog.get_logger("stakan.else").error("odd", a=1))
    assert (line["logger"], line["event"], line["a"]) == ("stakan.else", "odd", 1)


def test_an_exception_is_written_with_its_trace(tmp_path, screen):
    def say(_):
        try:
            raising(DataError("row 7 is no row"))
        except DataError:
            get_logger("a").exception("import failed")
            logging.getLogger("b").exception("again")

    first, second = said(tmp_path, say)
    for line in (first, second):
        assert "DataError: row 7 is no row" in line["exception"]
        assert "Traceback" in line["exception"]


def test_context_follows_tasks_and_callbacks_by_itself(tmp_path, screen):
    log = get_logger("a")

    async def work(name):
        with bound_contextvars(trace=name):
            asyncio.get_running_loop().call_later(0.01, lambda: log.info("later", of=name))
            await asyncio.gather(asyncio.create_task(step(name)), asyncio.sleep(0.02))

    async def step(name):
        await asyncio.sleep(0)
        log.info("inner", of=name)

    async def both():
        await asyncio.gather(work("t1"), work("t2"))
        log.info("outside", of=None)

    lines = [line for line in said(tmp_path, lambda _: asyncio.run(both())) if line["logger"] == "a"]
    assert len(lines) == 5
    assert all(line.get("trace") == line["of"] for line in lines)


def test_a_request_has_a_correlation_of_its_own(tmp_path, screen):
    def say(_):
        get_logger("a").info("before")
        with bound_contextvars(correlation="ann:1"):
            get_logger("a").info("within")

    before, within = said(tmp_path, say)
    assert before["correlation"].startswith("bot-")
    assert within["correlation"] == "ann:1"


def test_a_line_that_names_an_order_has_its_trace(tmp_path, screen):
    order = "s-" + "a" * 26

    def say(logs):
        logs.trace_of_order = {order: "intent-7"}.get
        logging.getLogger("venue").warning("look-up of %s: no answer", order)
        logging.getLogger("venue").warning("look-up of s-%s: no answer", "b" * 26)
        get_logger("bot").info(f"{order} again", trace="told")

    first, second, third = said(tmp_path, say)
    assert (first["trace"], second.get("trace"), third["trace"]) == ("intent-7", None, "told")


def test_a_field_cannot_pose_as_level_or_time(tmp_path, screen):
    (line,) = said(tmp_path, lambda _: logging.getLogger("a").info("x", extra={"level": "none", "timestamp": 0}))
    assert line["level"] == "info"
    assert line["timestamp"] != 0


# --- files ----------------------------------------------------------------------------------------------------------


def test_errors_are_in_a_file_of_their_own_as_well(tmp_path, screen):
    def say(_):
        for level in (logging.DEBUG, logging.WARNING, logging.ERROR, logging.CRITICAL):
            logging.getLogger("a").log(level, "one")

    lines = said(tmp_path, say)
    assert [line["level"] for line in lines] == ["debug", "warning", "error", "critical"]
    assert [line["level"] for line in lines_of(tmp_path, "bot_errors_*.log")] == ["error", "critical"]
    day = f"{datetime.now(UTC):%Y%m%d}"
    assert {f"bot_{day}.log", f"bot_errors_{day}.log"} <= {file.name for file in tmp_path.iterdir()}


def test_what_is_less_important_than_the_level_is_not_written(tmp_path, screen):
    def say(_):
        get_logger("a").info("no")
        get_logger("a").warning("yes")

    assert [line["event"] for line in said(tmp_path, say, level=logging.WARNING)] == ["yes"]


def a_line(at, level=logging.INFO, **fields):
    return Line(at, level, {"event": "x", **fields})


@given(st.lists(st.integers(0, 3 * 24 * 60), min_size=1, max_size=20))
@settings(max_examples=20)
def test_each_line_is_in_the_file_of_its_utc_day(tmp_path_factory, minutes):
    folder = tmp_path_factory.mktemp("logs")
    files = DailyFiles(folder, "bot", 0, lambda _: None)
    start = datetime(2026, 10, 1, tzinfo=UTC)
    moments = [start + timedelta(minutes=minute) for minute in minutes]
    files.write([a_line(moment, of=moment.isoformat()) for moment in moments], 0)
    files.close()
    for file in folder.iterdir():
        day = file.name.removeprefix("bot_").removesuffix(".log")
        written = [datetime.fromisoformat(json.loads(line)["of"]) for line in file.read_text().splitlines()]
        assert {f"{moment:%Y%m%d}" for moment in written} == {day}
    assert sorted(one["of"] for one in lines_of(folder)) == sorted(moment.isoformat() for moment in moments)


def test_old_files_of_the_program_are_removed_and_nothing_else(tmp_path):
    names = ["bot_20260901.log", "bot_errors_20260901.log", "bot_20260902.log", "record_20260901.log", "bot_2026.log"]
    for name in [*names, "notes.txt"]:
        (tmp_path / name).touch()
    remove_before(tmp_path, "bot", date(2026, 9, 2))
    assert {file.name for file in tmp_path.iterdir()} == {*names[2:], "notes.txt"}
    files = DailyFiles(tmp_path, "bot", 3, lambda _: None)
    files.write([a_line(datetime(2026, 9, 5, tzinfo=UTC))], 0)
    files.close()
    assert not (tmp_path / "bot_20260902.log").exists()
    assert (tmp_path / "bot_20260905.log").exists()


def test_only_the_owner_may_read_them(tmp_path, screen):
    folder = tmp_path / "state" / "logs"
    said(folder, lambda _: get_logger("a").error("x"))
    assert folder.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())


def test_a_folder_that_cannot_be_made_is_a_configuration_that_cannot_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"logs\.folder"), Logs(a_plan(tmp_path / "file" / "logs")):
        pass
    assert logging.getLogger().handlers == [one for one in logging.getLogger().handlers if "_Door" not in repr(one)]


def test_after_a_crash_that_tore_a_line_the_next_one_is_whole(tmp_path, screen):
    file = tmp_path / f"bot_{datetime.now(UTC):%Y%m%d}.log"
    file.write_bytes(b'{"event":"to')
    with Logs(a_plan(tmp_path)):
        get_logger("a").info("next")
    torn, whole = file.read_text().splitlines()
    assert torn == '{"event":"to'
    assert json.loads(whole)["event"] == "next"


# --- a disk that does not work --------------------------------------------------------------------------------------


def write_one(files, number):
    files.write([a_line(datetime(2026, 9, 5, tzinfo=UTC), number=number)], 0)


def test_a_folder_that_vanishes_is_made_again(tmp_path):
    told = []
    files = DailyFiles(tmp_path / "logs", "bot", 0, told.append)
    write_one(files, 1)
    shutil.rmtree(tmp_path / "logs")
    write_one(files, 2)
    files.close()
    assert [line["number"] for line in lines_of(tmp_path / "logs")] == [2]
    assert (files.lost, told) == (0, [])


def test_lines_that_cannot_be_written_are_counted_and_it_is_said_once_that_they_are_and_once_that_it_is_over(tmp_path):
    told = []
    state = tmp_path / "state"
    files = DailyFiles(state / "logs", "bot", 0, told.append)
    write_one(files, 1)
    shutil.rmtree(state)
    for number in (2, 3, 4):
        write_one(files, number)
    assert files.lost == 3
    assert len(told) == 1
    assert "cannot be written" in files.problem
    state.mkdir()
    write_one(files, 5)
    write_one(files, 6)
    files.close()
    assert (files.problem, len(told)) == ("", 2)
    missing, *later = lines_of(state / "logs")
    assert (missing["event"], missing["count"]) == ("log lines are missing here", 3)
    assert [line["number"] for line in later] == [5, 6]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_costs_lines_and_nothing_else(tmp_path, screen):
    name = f"bot_{datetime.now(UTC):%Y%m%d}.log"
    (tmp_path / name).symlink_to("/dev/full")
    with Logs(a_plan(tmp_path)) as logs:
        get_logger("a").info("lost")
        until(lambda: logs.problem)
        assert logs.dropped == 1
        (tmp_path / name).unlink()
        get_logger("a").info("kept")
        until(lambda: not logs.problem)
    assert screen().count("No space left on device") == 1
    assert [line["event"] for line in lines_of(tmp_path)] == ["log lines are missing here", "kept"]


def until(true, within_s=5.0):
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Stuck:
    """A sink that takes nothing before it is let."""

    def __init__(self):
        self.may = threading.Event()
        self.lines = []
        self.missed = 0
        self.is_closed = False

    def write(self, lines, missed):
        self.may.wait(10)
        self.lines += lines
        self.missed += missed

    def close(self):
        self.is_closed = True


def test_a_sink_that_is_too_slow_loses_lines_errors_last_and_nobody_waits():
    sink = Stuck()
    pump = Pump(sink, logging.DEBUG, "test", 10)
    at = datetime.now(UTC)
    pump.put(a_line(at, number=-1))
    until(lambda: pump.waiting == 0)  # the sink has it, and is stuck
    for number in range(30):
        pump.put(a_line(at, number=number))
    for number in range(30):
        pump.put(a_line(at, logging.ERROR, number=100 + number))
    assert pump.waiting == 20
    assert pump.dropped == 40
    sink.may.set()
    pump.close(5)
    assert sink.is_closed
    assert [line.fields["number"] for line in sink.lines] == [-1, *range(10), *range(100, 110)]
    assert sink.missed == 40


def test_the_end_does_not_wait_for_a_sink_that_never_takes_anything():
    sink = Stuck()
    pump = Pump(sink, logging.DEBUG, "test", 10)
    pump.put(a_line(datetime.now(UTC)))
    pump.close(0.01)
    assert not sink.is_closed
    sink.may.set()
    until(lambda: sink.is_closed)


# --- a terminal -----------------------------------------------------------------------------------------------------


class Screen(io.StringIO):
    def __init__(self, is_terminal):
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self):
        return self._is_terminal


@pytest.mark.parametrize("is_terminal", [True, False])
def test_people_see_colour_on_a_terminal_and_plain_lines_elsewhere(is_terminal):
    shown = Screen(is_terminal)
    at = datetime(2026, 9, 5, 12, 30, 1, 500_000, tzinfo=UTC)
    line = Line(at, logging.INFO, {"level": "info", "logger": "a", "event": "fill", "program": "bot", "price": "1.5"})
    Terminal(lambda: shown).write([line], 3)
    text = shown.getvalue()
    assert ("\x1b[" in text) is is_terminal
    assert "12:30:01.500" in text
    assert "fill" in text
    assert "program" not in text
    assert "3 lines were not shown" in text


def test_a_terminal_that_is_gone_is_no_error():
    shown = Screen(False)
    shown.close()
    Terminal(lambda: shown).write([a_line(datetime.now(UTC))], 0)


def test_what_people_were_told_already_is_for_the_files_only(tmp_path, screen):
    (line,) = said(tmp_path, lambda _: get_logger("a").info("running", for_files_only=True))
    assert line["event"] == "running"
    assert "for_files_only" not in line
    assert screen() == ""


# --- how it begins and ends -----------------------------------------------------------------------------------------


def test_nothing_of_it_is_left_behind(tmp_path, screen):
    root, hook = logging.getLogger(), threading.excepthook
    before = (list(root.handlers), root.level, structlog.is_configured())
    with Logs(a_plan(tmp_path)):
        assert root.level == logging.DEBUG
    assert (list(root.handlers), root.level, structlog.is_configured()) == before
    assert threading.excepthook is hook
    assert not [thread for thread in threading.enumerate() if "log" in thread.name]


def test_what_ends_a_program_is_the_last_line(tmp_path, screen):
    def ends():
        get_logger("a").info("before")
        raising(ZeroDivisionError())

    with pytest.raises(ZeroDivisionError), Logs(a_plan(tmp_path)):
        ends()
    before, last = lines_of(tmp_path)
    assert before["event"] == "before"
    assert (last["event"], last["level"]) == ("crashed", "critical")
    assert "ZeroDivisionError" in last["exception"]
    with pytest.raises(ConfigError), Logs(a_plan(tmp_path, program="other")):
        raise ConfigError("trade.state cannot work")
    (last,) = lines_of(tmp_path, "other_2*.log")
    assert (last["event"], last.get("exception")) == ("ended: trade.state cannot work", None)
    assert "crashed" not in screen()


def test_a_thread_that_fails_is_told_of(tmp_path, screen):
    def say(_):
        thread = threading.Thread(target=lambda: 1 / 0, name="writer of a test")
        thread.start()
        thread.join()

    (line,) = said(tmp_path, say)
    assert line["event"] == "writer of a test failed"
    assert "ZeroDivisionError" in line["exception"]
    gc.collect()


def test_a_line_that_cannot_be_made_is_counted(tmp_path, screen):
    class Broken(collections.UserDict):
        def items(self):
            raise RuntimeError("changed while it was read")

    def say(logs):
        logging.getLogger("a").info("x", extra={"table": Broken()})
        logging.getLogger("a").info("after")
        assert logs.dropped == 1

    assert [line["event"] for line in said(tmp_path, say)] == ["after"]


def test_many_threads_at_once_lose_nothing(tmp_path, screen):
    def say(_):
        threads = [
            threading.Thread(target=lambda n=n: [get_logger("a").info("x", n=n, i=i) for i in range(200)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    lines = said(tmp_path, say, terminal_level=logging.CRITICAL)
    for n in range(4):
        assert [line["i"] for line in lines if line["n"] == n] == list(range(200))


def test_the_configuration_says_what_a_program_writes(tmp_path):
    bot = plan_of(LogsSection(), "bot", tmp_path)
    assert (bot.folder, bot.level, bot.terminal_level, bot.keep_days) == (tmp_path / "logs", 20, 20, 30)
    quiet = plan_of(LogsSection(), "backtest")
    assert (quiet.folder, quiet.terminal_level) == (None, logging.WARNING)
    asked = plan_of(LogsSection(level="DEBUG", folder=tmp_path), "backtest")
    assert (asked.folder, asked.level, asked.terminal_level) == (tmp_path, logging.DEBUG, logging.DEBUG)
