"""`stakan console` as a program: says where it listens, says the first password once, ends when told."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import msgspec
import pytest

STAKAN = (sys.executable, "-c", "from stakan.apps.cli.main import main; main()")


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "APP_PASSWORD"}
    return {**kept, **more}


def session(folder: Path, number: int) -> tuple[str, str]:
    """One run: what it printed, and where it listened."""
    ready = folder / f"ready-{number}.json"
    process = subprocess.Popen(
        [*STAKAN, "console", "--state", str(folder / "state"), "--port", "0", "--ready-file", str(ready)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(PYTHONUNBUFFERED="1"),
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert time.monotonic() < deadline
            time.sleep(0.05)
        url = msgspec.json.decode(ready.read_bytes())["url"]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
            assert msgspec.json.decode(answer.read())["bot"] == "down"
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, printed
    return printed, url


def test_the_first_password_is_printed_once_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    first, url = session(tmp_path, 1)
    assert url in first
    found = re.search(r"First login\s+operator\s+(\S{16})\s", first)
    assert found is not None, first
    second, _ = session(tmp_path, 2)
    assert "First login" not in second
    assert found[1] not in second
    assert found[1] not in (tmp_path / "state" / "users.json").read_text()


@pytest.mark.parametrize(
    ("words", "secret", "told"),
    [
        (("--set", "console.session=soon"), "long enough", "console.session"),
        ((), "short", "at least 10"),
        (("--host", "192.0.2.1"), "long enough", "cannot listen"),
    ],
)
def test_what_cannot_work_is_told(tmp_path: Path, words: tuple[str, ...], secret: str, told: str) -> None:
    answer = subprocess.run(
        [*STAKAN, "console", "--state", str(tmp_path), "--port", "0", *words],
        check=False,
        capture_output=True,
        env=environment(APP_PASSWORD=secret),
        text=True,
        timeout=60,
    )
    assert answer.returncode == 2, answer.stderr
    assert told in answer.stderr
    assert "Traceback" not in answer.stderr
