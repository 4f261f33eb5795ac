"""`stakan exchange` as a user starts it."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from stakan.adapters.exchanges.bybit.auth import request_headers
from stakan.apps.cli.main import app

pytestmark = pytest.mark.usefixtures("compiled")

WAIT_S = 120
STAKAN = [sys.executable, "-c", "from stakan.apps.cli.main import main; main()"]


@contextmanager
def running(folder, *options):
    """A process that listens; yields its port and the process."""
    ready, log = folder / "ready.json", folder / "log.txt"
    ready.unlink(missing_ok=True)
    words = ["exchange", "--port", "0", "--symbols", "1", "--ready-file", str(ready), *options]
    with log.open("wb") as output:
        process = subprocess.Popen([*STAKAN, *words], stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + WAIT_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the exchange did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield json.loads(ready.read_text())["port"], process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)


def ask(port, operation, key, secret, query="", **params):
    """A command with `params`, or a query."""
    body = json.dumps(params).encode() if params else None
    headers = request_headers(key, secret, time.time_ns() // 1_000_000, 5000, body or query.encode())
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v5/{operation}?{query}", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def ended(process, log):
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0, log.read_text()
    return log.read_text()


def test_accounts_outlive_the_program_and_counts_are_told(tmp_path):
    options = ("--json", "--state", str(tmp_path / "state"), "--account", "ann:k:s:2500", "--account", "ben:k2:s2")
    entry = {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.001",
        "price": "30000",
        "orderLinkId": "kept",
    }
    with running(tmp_path, *options, "--balance", "777") as (port, process):
        assert ask(port, "order/create", "k", "s", **entry)["retCode"] == 0
        assert _balance(port, "k", "s") == 2500
        assert _balance(port, "k2", "s2") == 777
        counts = json.loads(ended(process, tmp_path / "log.txt"))
    assert counts["requests"] == 3
    assert (counts["is_synthetic"], counts["faults"], counts["symbols"]) == (True, {}, ["BTCUSDT"])

    with running(tmp_path, *options) as (port, process):
        assert ask(port, "order/create", "k", "s", **entry)["retCode"] == 110072
        told = ask(port, "order/realtime", "k", "s", "category=linear&symbol=BTCUSDT")
        assert [row["orderLinkId"] for row in told["result"]["list"]] == ["kept"]
        ended(process, tmp_path / "log.txt")


def _balance(port, key, secret):
    told = ask(port, "account/wallet-balance", key, secret, "accountType=UNIFIED")
    return float(told["result"]["list"][0]["coin"][0]["walletBalance"])


def test_a_ready_file_of_an_earlier_run_is_gone_before_anything_starts(tmp_path):
    ready = tmp_path / "ready.json"
    ready.write_text("{}")
    result = CliRunner().invoke(app, ["exchange", "--ready-file", str(ready), "--upstream", "http://127.0.0.1:1"])
    assert result.exit_code != 0
    assert not ready.exists()


def test_people_are_told_where_it_listens_and_what_happened(tmp_path):
    with running(tmp_path, "--chaos", "drizzle") as (port, process):
        told = ended(process, tmp_path / "log.txt")
    assert f"http://127.0.0.1:{port}" in told
    assert "stakan-key" in told
    assert "drizzle" in told
    assert "requests" in told


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--chaos", "sunshine"], "known are drizzle"),
        (["--account", "ann:key"], "NAME:API_KEY:SECRET"),
        (["--account", "a:b:c:-5"], "above 0"),
        (["--balance", "much"], "above 0"),
        (["--balance", "1e999999"], "below 10^15"),
        (["--rate-factor", "inf"], "--rate-factor"),
        (["--state", "/dev/null/state", "--port", "0"], "cannot write /dev/null/state"),
        (["--ready-file", "/nowhere/ready", "--port", "0"], "cannot write /nowhere/ready"),
        (["--reply-delay", "soon"], "reply-delay"),
        (["--loop"], "recorded data"),
        (["--upstream", "mainnet", "--loop"], "recorded data"),
        (["--upstream", "mainnet", "--speed", "2"], "a live market has its own"),
        (["--upstream", "moon"], "mainnet, testnet, demo or local"),
        (["--upstream", "http://127.0.0.1:1"], "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(options, text, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    result = CliRunner().invoke(app, ["exchange", *options])
    assert result.exit_code != 0
    assert text in " ".join(result.output.split())


def test_a_file_that_is_no_state_is_not_overwritten(tmp_path):
    state = tmp_path / "state"
    state.write_text("something else")
    result = CliRunner().invoke(app, ["exchange", "--port", "0", "--symbols", "1", "--state", str(state)])
    assert result.exit_code != 0
    assert "no state of an exchange" in " ".join(result.output.split())
    assert state.read_text() == "something else"
