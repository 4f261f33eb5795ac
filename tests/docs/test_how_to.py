"""The how-to pages work: what they show is taken from the page and run as a user would run it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("compiled")

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
STAKAN = [sys.executable, "-c", "from stakan.apps.cli.main import main; main()"]


def blocks(page, language):
    """The fenced blocks of a language on a page."""
    return re.findall(rf"```{language}\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)


def block(page, language):
    """The first of them."""
    return blocks(page, language)[0]


def run(command, folder, within=120, **environment):
    assert command.startswith("stakan ")
    words = command.split()[1:]
    return subprocess.run(
        [*STAKAN, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=within,
        env=os.environ | environment,
    )


def added(page, plugin, folder):
    """The plugin of a page added as the page says, checked and run; gives the run's result."""
    (folder / f"{plugin}.py").write_text(block(page, "python"))
    (folder / f"{plugin}.toml").write_text(block(page, "toml"))
    check, backtest = block(page, "console").strip().splitlines()
    checked = run(check, folder)
    assert checked.returncode == 0, checked.stderr
    ran = run(f"{backtest} --json", folder)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_a_strategy_is_added_by_one_file_and_one_configuration_entry(tmp_path):
    result = added("add-a-strategy.md", "spread_fade", tmp_path)
    assert {signal["strategy"] for signal in result["signals"]} == {"spread_fade"}
    assert {trade["strategy"] for trade in result["trades"]} == {"spread_fade"}


def test_a_misspelt_parameter_is_refused_by_its_name(tmp_path):
    page = "add-a-strategy.md"
    (tmp_path / "spread_fade.py").write_text(block(page, "python"))
    (tmp_path / "spread_fade.toml").write_text(block(page, "toml").replace("stop_bps", "stop_bpz"))
    checked = run("stakan config check spread_fade.toml", tmp_path)
    assert checked.returncode == 2
    assert "stop_bpz" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_a_detector_is_added_by_one_file_and_one_configuration_entry(tmp_path):
    result = added("add-a-detector.md", "burst", tmp_path)
    assert {found["detector"] for found in result["findings"]} == {"burst"}
    assert result["watch"]["signals_weakened"] > 0
    doubted = [signal for signal in result["signals"] if "quote_stuffing" in str(signal["reasons"])]
    assert len(doubted) == result["watch"]["signals_weakened"]


def test_features_are_added_by_one_file_and_one_configuration_entry(tmp_path):
    result = added("add-a-feature.md", "large_prints", tmp_path)
    trades = result["trades"]
    assert trades
    assert any(trade["features"]["large_prints.large_balance"] for trade in trades)


@pytest.mark.recorded
def test_a_recording_is_imported_checked_run_and_replayed(tmp_path, recorded):
    for name in ("usdm_btcusdt_20240718.gz", "usdm_btcusdt_20240719.gz"):
        (tmp_path / name).symlink_to(recorded / "binance-l2" / name)
    for command in block("import-and-backtest.md", "console").strip().splitlines():
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "runs" / "btc" / "report.html").stat().st_size > 100_000


@pytest.mark.recorded
def test_features_are_built_shown_and_scaled(tmp_path, recorded):
    page = "build-features.md"
    for name in ("usdm_btcusdt_20240718.gz", "usdm_btcusdt_20240719.gz"):
        (tmp_path / name).symlink_to(recorded / "binance-l2" / name)
    for command in "".join(blocks(page, "console")).splitlines():
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "features.html").stat().st_size > 100_000
    scaled = subprocess.run(
        [sys.executable, "-c", block(page, "python")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert scaled.returncode == 0, scaled.stderr
    assert "(3000, 110) float32" in scaled.stdout


@pytest.mark.slow
def test_a_detector_is_judged_beside_the_naive_rule(tmp_path, recorded):
    (command,) = block("judge-a-detector.md", "console").strip().splitlines()
    kept = {"XDG_CACHE_HOME": str(tmp_path), "STAKAN_DATA": str(recorded)}
    done = run(f"{command} --json", tmp_path, within=900, **kept)
    # Four episodes say nothing about bars: both verdicts are fine, an error is not.
    assert done.returncode in {0, 1}, done.stderr
    found = json.loads(done.stdout)
    assert [row["detector"] for row in found["verdict"]["rows"]] == ["spoofing", "naive rule"]
    assert {row["recall"]["of"] for row in found["verdict"]["rows"]} != {0}
    assert [row["orders"] for row in found["orders"]] == [3_084, 3_084]
    assert done.returncode == (0 if found["verdict"]["holds"] else 1)
