"""Recorded sessions, imported once into a store of their own, run once with a journal."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from typer.testing import CliRunner

from stakan.apps.backtest import run_backtest
from stakan.apps.cli.importing import known_instruments
from stakan.apps.cli.main import app
from stakan.apps.config import load_settings
from stakan.apps.results import RunResult
from stakan.apps.sources import from_files, from_store

HERE = Path(__file__).parent
EVERYWHERE = HERE / "one-second-candles.toml"
EAGER = HERE / "trades-often.toml"
"""For laws that need many orders: thresholds low enough that something happens all the time."""


class Session(NamedTuple):
    """Files of one recording and the symbol of interest."""

    name: str
    files: tuple[str, ...]
    instruments: tuple[str, ...] = ()


SESSIONS = (
    Session("btc-2023", ("binance-l2/usdm_btcusdt_20230404.dat.gz", "binance-l2/usdm_btcusdt_20230405.dat.gz")),
    Session("btc-2024", ("binance-l2/usdm_btcusdt_20240718.gz", "binance-l2/usdm_btcusdt_20240719.gz")),
    Session("eth-2024", ("binance-l2/usdm_ethusdt_20240718.gz", "binance-l2/usdm_ethusdt_20240719.gz")),
    Session("bybit-capture", ("bybit-v5-capture/BYBIT.jsonl.zst",)),
)


class Ran(NamedTuple):
    """A session in its store, and its first run."""

    files: list[Path]
    store: Path
    folder: Path
    result: RunResult

    def again(self, folder, config=EVERYWHERE, *, journal=False):
        """The same store once more."""
        return run_backtest(from_store(self.store), load_settings(config), folder, journal=journal)

    def direct(self, folder):
        """The files as they are, without a store."""
        source = from_files(self.files, known_instruments(self.store, None))
        return run_backtest(source, load_settings(EVERYWHERE), folder)


@pytest.fixture(scope="session", params=SESSIONS, ids=[session.name for session in SESSIONS])
def ran(request, recorded, tmp_path_factory):
    """One session, imported by the command and run once with a journal."""
    session = request.param
    home = tmp_path_factory.mktemp(session.name)
    files = [recorded / file for file in session.files]
    imported = CliRunner().invoke(app, ["import", *map(str, files), "--out", str(home / "data"), "--json"])
    assert imported.exit_code == 0, imported.output
    assert msgspec.json.decode(imported.stdout)["gaps"] == 0
    first = Ran(files, home / "data", home / "runs" / "first", None)
    return first._replace(result=first.again(first.folder, journal=True))
