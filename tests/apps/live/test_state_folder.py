"""A state folder belongs to one bot at a time and never makes an id twice."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.apps.config import load_settings
from stakan.apps.live.clock import WallClock
from stakan.apps.live.mode import Mode, settled
from stakan.apps.live.session import Stopping
from stakan.apps.live.state_folder import EPOCH_FILE, StateFolder
from stakan.core.domain.errors import ConfigError, StorageError

HOLD = """
import sys
from pathlib import Path
from stakan.apps.live.state_folder import StateFolder
with StateFolder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_epoch_stays_and_every_run_has_its_own(tmp_path):
    epochs = set()
    for _ in range(3):
        with StateFolder(tmp_path / "s") as state:
            run = state.new_run("paper")
            run.mkdir(parents=True)
            epochs.add(state.epoch_of(run))
            kept = state.epoch
    assert len(epochs) == 3
    assert all(epoch.startswith(kept) for epoch in epochs)
    with StateFolder(tmp_path / "other") as other:
        assert other.epoch != kept


def test_a_run_sorts_behind_all_others_also_where_the_clock_was_set_back(tmp_path):
    with StateFolder(tmp_path / "s") as state:
        names = []
        for made in ("29991231-235959-testnet", None, None):
            run = tmp_path / "s" / "runs" / made if made else state.new_run("testnet")
            run.mkdir(parents=True)
            names.append(run.name)
        assert names == sorted(names) == [run.name for run in state.runs()]
        assert names[1] == "30000101-000000-testnet"


def test_two_bots_never_share_a_folder(tmp_path):
    with StateFolder(tmp_path), pytest.raises(ConfigError, match="another bot"), StateFolder(tmp_path):
        pass
    with StateFolder(tmp_path):
        pass


def test_a_killed_bot_gives_the_folder_free(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match="another bot"), StateFolder(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with StateFolder(tmp_path):
        pass


def test_a_lost_epoch_is_not_made_up(tmp_path):
    with StateFolder(tmp_path):
        pass
    (tmp_path / EPOCH_FILE).write_text("")
    with pytest.raises(StorageError, match="empty"), StateFolder(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot hold"), StateFolder(tmp_path / "file" / "s"):
        pass


# --- modes ----------------------------------------------------------------------------------------------------------


def some(environment):
    return load_settings(None, [f"venue.environment={environment}"], {})


def test_testnet_never_means_mainnet():
    assert settled(some("mainnet"), Mode.TESTNET, confirmed=False).venue.environment == "testnet"
    assert settled(some("local"), Mode.TESTNET, confirmed=False).venue.environment == "local"


@pytest.mark.parametrize("environment", ["local", "testnet", "demo"])
def test_live_means_nothing_but_mainnet(environment):
    with pytest.raises(ConfigError, match="real money"):
        settled(some(environment), Mode.LIVE, confirmed=True)


def test_live_demands_its_flag():
    with pytest.raises(ConfigError, match="--i-understand-this-is-real-money"):
        settled(some("mainnet"), Mode.LIVE, confirmed=False)
    assert settled(some("mainnet"), Mode.LIVE, confirmed=True) == some("mainnet")


def test_asked_once_a_bot_stops_gracefully_asked_again_at_once():
    stopping = Stopping()
    stopping.ask("SIGINT")
    assert (stopping.asked.is_set(), stopping.at_once.is_set()) == (True, False)
    stopping.ask("SIGTERM")
    assert (stopping.why, stopping.at_once.is_set()) == ("SIGINT", True)


# --- clock ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-(10**10), 10**10), st.integers(0, 10**9)), min_size=2, max_size=50))
def test_stamps_only_rise_whatever_the_machines_clock_does(moves):
    wall, ticks = 10**18, 0

    def move(by, passed):
        nonlocal wall, ticks
        wall += by
        ticks += passed

    clock = WallClock(lambda: wall, lambda: ticks)
    stamps = []
    for by, passed in moves:
        move(by, passed)
        stamps.append(clock.now())
    assert stamps == sorted(set(stamps))


def test_a_clock_set_back_runs_on_at_half_speed_until_it_is_caught_up():
    wall, ticks = 10**18, 0
    clock = WallClock(lambda: wall, lambda: ticks)
    before = clock.now()
    wall -= 10**9
    for _ in range(10):
        wall, ticks = wall + 10**8, ticks + 10**8
        clock.now()
    assert before + 4 * 10**8 < clock.now() <= before + 6 * 10**8
    for _ in range(30):
        wall, ticks = wall + 10**8, ticks + 10**8
        clock.now()
    assert clock.now() - wall <= 1
