"""Peers in environments of their own: made on demand, spoken to in JSON lines."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NAUTILUS = "1.221.0"
_ROOT = Path(__file__).parents[2]


class PeerMissing(Exception):
    """Why a peer cannot be measured here."""


def nautilus_python() -> Path:
    """Interpreter of `.venv-nautilus`, which is made (about a minute) where it is not there."""
    folder = _ROOT / ".venv-nautilus"
    python = folder / "bin" / "python"
    if not _has(python, "nautilus_trader", NAUTILUS):
        print(f"installing nautilus_trader {NAUTILUS} into {folder.name} (about a minute, once)", file=sys.stderr)
        _call([sys.executable, "-m", "venv", str(folder)])
        _call(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", f"nautilus_trader=={NAUTILUS}"]
        )
        if not _has(python, "nautilus_trader", NAUTILUS):
            raise PeerMissing(f"nautilus_trader {NAUTILUS} was installed but does not answer")
    return python


def _has(python: Path, package: str, version: str) -> bool:
    if not python.exists():
        return False
    code = f"from importlib.metadata import version; raise SystemExit(version({package!r}) != {version!r})"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeerMissing(f"`{' '.join(command[-4:])}` failed: {last}")


class Peer:
    """A script in another environment that answers one JSON line with one JSON line."""

    def __init__(self, python: Path, script: str) -> None:
        self._process = subprocess.Popen(
            [python, _ROOT / "bench" / "peers" / script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )

    def ask(self, **request: object) -> dict[str, Any]:
        """Send a request and wait; raises PeerMissing where the script has died."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise PeerMissing(f"the peer ended with code {self._process.wait()} at {request}")
        return dict(json.loads(line))

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def nautilus() -> Peer:
    """NautilusTrader, ready for requests; raises PeerMissing with the reason where it cannot be had."""
    return Peer(nautilus_python(), "nautilus.py")
