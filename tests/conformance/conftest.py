"""A local exchange in a process of its own, and clients that nobody changed pointed at it."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

SYMBOL = "BTCUSDT"
BALANCE = 10_000
ACCOUNTS = 60
STAKAN = [sys.executable, "-c", "from stakan.apps.cli.main import main; main()"]
DELAYS = ("2ms", "0ms")
"""A reply delay as on a real network, and none at all."""
START_S = 300


class Keys(NamedTuple):
    key: str
    secret: str


class Exchange(NamedTuple):
    """Where a running exchange listens; `accounts` gives every test an account that nobody used before."""

    http: str
    ws: str
    delay: str
    accounts: Iterator[Keys]


def _start(folder, delay) -> tuple[subprocess.Popen, Exchange]:
    ready, log = folder / "ready.json", folder / "exchange.log"
    keys = [Keys(f"key{number}", f"secret{number}") for number in range(ACCOUNTS)]
    named = itertools.chain.from_iterable(("--account", f"a{k.key}:{k.key}:{k.secret}:{BALANCE}") for k in keys)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *STAKAN, "exchange", "--port", "0", "--seed", "7", "--reply-delay", delay,
                "--ready-file", str(ready), *named,
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    deadline = time.monotonic() + START_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"the exchange did not start:\n{log.read_text()}")
        time.sleep(0.05)
    port = json.loads(ready.read_text())["port"]
    where = Exchange(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", delay, iter(keys))
    return process, where


@pytest.fixture(scope="session")
def _exchanges(tmp_path_factory) -> Iterator[dict[str, Exchange]]:
    running: dict[str, tuple[subprocess.Popen, Exchange]] = {}

    class Lazy(dict):
        def __missing__(self, delay: str) -> Exchange:
            running[delay] = _start(tmp_path_factory.mktemp("exchange"), delay)
            self[delay] = running[delay][1]
            return self[delay]

    yield Lazy()
    for process, _ in running.values():
        process.terminate()
    for process, _ in running.values():
        assert process.wait(30) in {0, 130, -15}


@pytest.fixture(params=DELAYS)
def exchange(request, _exchanges) -> Exchange:
    """At every delay."""
    return _exchanges[request.param]


@pytest.fixture
def delayed(_exchanges) -> Exchange:
    """At a realistic delay only: for what a client cannot do faster (pybit registers callbacks after sending)."""
    return _exchanges[DELAYS[0]]


@pytest.fixture
def keys(exchange) -> Keys:
    return next(exchange.accounts)


def eventually(condition, what: str, within: float = 10.0):
    """The first true answer of a condition; fails after a while."""
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"never happened: {what}")
        time.sleep(0.02)
