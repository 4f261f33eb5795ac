"""A bot's sign of life, and what becomes of one whose event loop does not turn."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apps.live.sockets import a_run

from stakan.apps.live.heartbeat import HEARTBEAT_FILE, Beat, Heart, Held, read_beat, write_beat
from stakan.apps.live.mode import Mode
from stakan.apps.live.stuck import EXIT_STUCK, STUCK_FILE, StuckLimits, StuckWatch
from stakan.core.domain.errors import ConfigError, DataError, StorageError
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import SECOND, Side

GUARD_S = 60


def a_beat(ts=1, **more):
    fields = {
        "ts": ts,
        "pid": 7,
        "mode": "testnet",
        "environment": "local",
        "account": "main",
        "run": "r",
        "trading": TradingState.ACTIVE,
    }
    return Beat(**(fields | more))


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_beat_is_read_as_it_was_written(tmp_path):
    held = Held(instrument="bybit:linear:BTCUSDT", side=Side.SELL, size=Decimal("0.010"), has_stop=False)
    beat = a_beat(positions=(held,), entries=2, reconciled_ts=5, halted_for="daily_loss", has_ended=True)
    write_beat(tmp_path, beat)
    assert read_beat(tmp_path) == beat
    assert [path.name for path in tmp_path.iterdir()] == [HEARTBEAT_FILE]


def test_where_there_never_was_a_bot_there_is_no_beat(tmp_path):
    assert read_beat(tmp_path) is None


@pytest.mark.parametrize("data", [b"", b"{", b'{"ts": 1}', b"[1]", b"\xff\xfe"])
def test_a_damaged_beat_is_told_apart_from_none(tmp_path, data):
    (tmp_path / HEARTBEAT_FILE).write_bytes(data)
    with pytest.raises(DataError, match="no heartbeat"):
        read_beat(tmp_path)


def test_a_beat_of_a_later_release_can_be_read(tmp_path):
    more = msgspec.to_builtins(a_beat()) | {"from the future": 1}
    (tmp_path / HEARTBEAT_FILE).write_bytes(msgspec.json.encode(more))
    assert read_beat(tmp_path) == a_beat()


# --- the loop ---------------------------------------------------------------------------------------------------------


def watch(folder, **more):
    return StuckWatch(folder, StuckLimits(), **more)


def test_the_last_beat_is_the_one_that_says_that_the_bot_has_ended(tmp_path):
    """While its connections close the loop still turns; a watchdog would have taken the bot for gone."""

    async def live():
        with Heart(tmp_path, a_beat, watch(tmp_path)) as heart:
            await asyncio.sleep(0)
            heart.rest()
            await asyncio.sleep(1.2)

    asyncio.run(live())
    assert read_beat(tmp_path).has_ended


def test_a_turning_loop_writes_once_a_second_at_most_and_says_when_it_rests(tmp_path):
    described = []

    def describe():
        described.append(a_beat(ts=len(described) + 1))
        return described[-1]

    async def live():
        with Heart(tmp_path, describe, watch(tmp_path)) as heart:
            await asyncio.sleep(1.4)
            assert not read_beat(tmp_path).has_ended
        heart.rest()
        return heart

    heart = asyncio.run(live())
    assert len(described) == 3
    assert read_beat(tmp_path).has_ended
    assert heart.watch.episodes == 0
    assert not (tmp_path / STUCK_FILE).exists()


def test_a_disk_that_takes_no_beat_does_not_end_the_bot(tmp_path, caplog):
    gone = tmp_path / "gone"

    async def live():
        with Heart(gone, a_beat, watch(tmp_path)) as heart:
            await asyncio.sleep(0.1)
        heart.rest()
        return heart.failed_writes

    assert asyncio.run(live()) == 2
    assert len(caplog.records) == 1


def test_a_run_folder_that_cannot_be_written_is_an_error_at_the_start(tmp_path):
    with pytest.raises(StorageError, match=STUCK_FILE), watch(tmp_path / "nowhere"):
        pass


# --- the watch --------------------------------------------------------------------------------------------------------


class Looking:
    """A watch whose looks and time a test makes."""

    def __init__(self, folder, **limits):
        self.now, self.ends = 100.0, []
        self.watch = StuckWatch(folder, StuckLimits(**limits), end=self.ends.append, clock=lambda: self.now)

    def pass_by(self, seconds, step=0.25):
        for _ in range(round(seconds / step)):
            self.now += step
            self.watch.look()


def test_silence_is_counted_once_and_ends_in_a_hard_end(tmp_path):
    it = Looking(tmp_path, stuck_after=2 * SECOND, end_after=6 * SECOND)
    it.pass_by(1.75)
    assert it.watch.episodes == 0
    it.pass_by(3)
    assert it.watch.episodes == 1
    it.watch.beat()
    it.pass_by(1.75)
    assert (it.watch.episodes, it.ends) == (1, [])
    it.pass_by(4.5)
    assert (it.watch.episodes, it.ends) == (2, [EXIT_STUCK])


def test_never_means_never(tmp_path):
    it = Looking(tmp_path, stuck_after=SECOND, end_after=0)
    it.pass_by(1000)
    assert (it.watch.episodes, it.ends) == (1, [])


def test_a_process_that_was_suspended_is_not_stuck(tmp_path):
    it = Looking(tmp_path, stuck_after=2 * SECOND, end_after=6 * SECOND)
    it.pass_by(0.5)
    it.now += 3600
    it.watch.look()
    assert it.watch.episodes == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=40))
def test_a_loop_that_beats_often_enough_is_never_stuck(tmp_path_factory, sequence):
    """And one that does not, always: by the sum of the looks since its last beat."""
    it = Looking(tmp_path_factory.getbasetemp(), stuck_after=4 * SECOND, end_after=0)
    silent, episodes, counted = 0.0, 0, False
    for has_beaten, looks in sequence:
        if has_beaten:
            it.watch.beat()
        for look in range(looks):
            it.pass_by(0.25)
            silent, counted = (0.0, False) if has_beaten and look == 0 else (silent + 0.25, counted)
            if silent >= 4 and not counted:
                episodes, counted = episodes + 1, True
    assert it.watch.episodes == episodes


@pytest.mark.parametrize(("stuck", "end"), [(0, 0), (5, 5), (5, 3), (-1, 0), (0.4, 0)])
def test_limits_that_make_no_sense_are_refused(stuck, end):
    with pytest.raises(ConfigError, match="stuck_after"):
        StuckLimits(stuck_after=int(stuck * SECOND), end_after=end * SECOND)


# --- really blocked ---------------------------------------------------------------------------------------------------

BOT = """
import asyncio, ctypes, sys, time
from pathlib import Path
from stakan.apps.live.heartbeat import Beat, Heart
from stakan.apps.live.stuck import StuckLimits, StuckWatch
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import MILLISECOND

folder, how = Path(sys.argv[1]), sys.argv[2]
limits = StuckLimits(stuck_after=600 * MILLISECOND, end_after=1800 * MILLISECOND, backstop=300 * MILLISECOND)

def describe():
    return Beat(ts=time.time_ns(), pid=0, mode="paper", environment="local", account="main", run="r", trading=TradingState.ACTIVE)

def the_culprit():
    if how == "sleeps":
        time.sleep(60)
    elif how == "spins":
        while True:
            pass
    elif how == "hiccup":
        time.sleep(1.2)
    elif how == "holds":
        ctypes.PyDLL(None).sleep(60)  # keeps the interpreter lock

async def main():
    with Heart(folder, describe, StuckWatch(folder, limits)) as heart:
        await asyncio.sleep(0.4)
        print("begins", flush=True)
        the_culprit()
        await asyncio.sleep(1.5 if how == "nothing" else 0.3)
        print(heart.watch.episodes, flush=True)

asyncio.run(main())
"""


class Ended(NamedTuple):
    code: int
    out: list[str]
    log: str
    folder: Path

    @property
    def stacks(self):
        return (self.folder / STUCK_FILE).read_text()


@pytest.fixture(scope="module")
def blocked(tmp_path_factory):
    """All ways to block a loop, in processes of their own that run at the same time."""
    running = {}
    for how in ("sleeps", "spins", "holds", "hiccup", "nothing"):
        folder = tmp_path_factory.mktemp(how)
        words = [sys.executable, "-c", BOT, str(folder), how]
        running[how] = folder, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, stopped = running["nothing"]
    assert stopped.stdout.readline() == "begins\n"
    os.kill(stopped.pid, signal.SIGSTOP)
    time.sleep(1.2)
    os.kill(stopped.pid, signal.SIGCONT)
    ended = {}
    for how, (folder, process) in running.items():
        out, log = process.communicate(timeout=GUARD_S)
        ended[how] = Ended(process.returncode, out.split(), log, folder)
    return ended


@pytest.mark.parametrize("how", ["sleeps", "spins"])
def test_a_blocked_loop_leaves_its_stacks_and_ends_with_its_code(blocked, how):
    ended = blocked[how]
    assert ended.code == EXIT_STUCK
    assert ended.stacks.count("has not turned") == 1
    assert ended.stacks.count("the process ends with code 70") == 1
    assert "the_culprit" in ended.stacks
    assert not read_beat(ended.folder).has_ended


def test_a_loop_that_holds_the_interpreter_is_ended_all_the_same(blocked):
    assert blocked["holds"].code == 1
    assert "the_culprit" in blocked["holds"].stacks


def test_a_loop_that_turns_again_lives_on(blocked):
    ended = blocked["hiccup"]
    assert ended.code == 0
    assert int(ended.out[-1]) >= 1
    assert "turns again" in ended.log
    assert "the_culprit" in ended.stacks


def test_a_process_that_is_stopped_and_goes_on_is_not_ended(blocked):
    assert (blocked["nothing"].code, blocked["nothing"].out) == (0, ["0"])


# --- a whole bot ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("compiled", "keys")
def test_a_bot_beats_while_it_trades_and_says_that_it_ended(tmp_path):
    folder, seen = tmp_path / "s", []

    async def look():
        while True:
            await asyncio.sleep(0.1)
            if (beat := read_beat(folder)) is not None:
                seen.append(beat)

    async def live():
        looking = asyncio.create_task(look())
        ended, _ = await a_run(Mode.TESTNET, folder, 3)
        looking.cancel()
        return ended

    ended = asyncio.run(live())
    last = read_beat(folder)
    assert last.has_ended
    assert seen
    assert {beat.has_ended for beat in seen} <= {False, True}
    assert any(beat.positions for beat in seen)
    assert all(beat.pid == os.getpid() and beat.mode == "testnet" and beat.run == ended.folder.name for beat in seen)
    assert last.reconciled_ts > 0
    assert not (ended.folder / STUCK_FILE).exists()
