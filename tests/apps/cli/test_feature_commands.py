"""`stakan features build` and `show`, run as a user runs them."""

import asyncio
import json
import threading

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.adapters.parquet.builders import BTC, MIDNIGHT
from tests.apps.recorded_days import FIRST, SECOND_DAY, a_store, events
from tests.core.engine.builders import a_snapshot, an_engine
from typer.testing import CliRunner

from stakan.adapters.parquet.layout import instrument_folder
from stakan.apps.cli.features_show import bars
from stakan.apps.cli.main import app
from stakan.apps.cli.output import EXIT_CONFIG, EXIT_DATA, EXIT_FAILED, EXIT_STORAGE
from stakan.apps.live.features import Features
from stakan.apps.live.latency import Latencies
from stakan.apps.live.publisher import Publisher
from stakan.apps.live.read_model import ReadModel, Surroundings
from stakan.apps.projection import Hello
from stakan.core.domain.events import TradePrint
from stakan.core.features.catalogue import FEATURE_COUNT, FEATURE_NAMES, Feature

SHORT = ("--set", "engine.candle_interval=1s")
LOOK_BACK_FURTHER = ("level_ttl", "smart_money", "support", "resistance", "distance_to")
"""Features that may know of what was before the lead-in."""


def run(*words):
    return CliRunner().invoke(app, ["features", *map(str, words)])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store, and what was built from it."""
    folder = tmp_path_factory.mktemp("home")
    a_store(folder / "data")
    done = build(folder)
    assert done.exit_code == 0, done.output
    return folder


def build(folder, *words):
    return run("build", "--data", folder / "data", "--out", folder / "out", *SHORT, *words)


def file_of(home, day=FIRST):
    return instrument_folder(home / "out", BTC) / f"{day}.parquet"


# --- build ------------------------------------------------------------------------------------------------------------


def test_any_reader_of_parquet_finds_the_features_by_name(home):
    table = pq.read_table(file_of(home))
    assert table.column_names == ["ts_event", *FEATURE_NAMES, "warm_low", "warm_high"]
    grid = np.diff(table["ts_event"].to_numpy())
    assert len(grid) > 600
    mids = table["mid_price"].to_numpy()
    assert mids.dtype == np.float32
    assert np.ptp(mids) > 0
    low, high = (table[name].to_numpy() for name in ("warm_low", "warm_high"))
    assert (low >> np.uint64(Feature.MID_PRICE) & np.uint64(1)).all()
    assert not (high >> np.uint64(FEATURE_COUNT - 64)).any()


def test_a_summary_names_every_file_and_a_second_build_makes_none(home, tmp_path):
    a_store(tmp_path / "data")
    first = json.loads(build(tmp_path, "BTCUSDT", "--from", FIRST, "--to", FIRST, "--json").stdout)
    assert (first["built"], first["present"]) == (1, 0)
    assert first["rows"] == pq.read_metadata(file_of(tmp_path)).num_rows > 600
    second = json.loads(build(tmp_path, "--json").stdout)
    assert (second["built"], second["present"]) == (1, 1)
    assert [one["day"] for one in second["files"]] == [FIRST, SECOND_DAY]
    said = build(tmp_path)
    assert said.exit_code == 0
    assert "0 files built, 2 were there" in said.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--grid", "fast"], EXIT_CONFIG, "--grid: 'fast' is not a duration"),
        (["--grid", "0s"], EXIT_CONFIG, "--grid 0s: should be 1ms or more"),
        (["--grid", "7s"], EXIT_CONFIG, "divide a day"),
        (["--grid", "1s"], EXIT_CONFIG, "built with other options"),
        (["--from", "2025-01-02", "--to", "2025-01-01"], EXIT_CONFIG, "is after --to"),
        (["--from", "2025-01-02T10:00:00"], EXIT_CONFIG, "whole days are built"),
        (["--from", "yesterday"], EXIT_CONFIG, "is no time"),
        (["--from", "2025-01-02"], EXIT_DATA, "no order books of bybit:linear:BTCUSDT in this time"),
        (["NONE"], EXIT_CONFIG, "NONE"),
        (["--jobs", "0"], EXIT_CONFIG, "jobs"),
        (["--set", "features.cluster_multiple=0"], EXIT_CONFIG, "cluster_multiple"),
    ],
)
def test_what_cannot_be_built_is_said_with_its_code(home, words, code, said):
    done = build(home, *words)
    assert done.exit_code == code, done.output
    assert said in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_a_store_without_data_and_a_folder_that_cannot_be_written_are_said(home, tmp_path):
    done = run("build", "--data", tmp_path)
    assert (done.exit_code, "no market data" in done.output) == (EXIT_DATA, True)
    (tmp_path / "out").write_text("in the way")
    a_store(tmp_path / "data")
    done = build(tmp_path)
    assert done.exit_code == EXIT_STORAGE, done.output
    assert "cannot write" in done.output


# --- show -------------------------------------------------------------------------------------------------------------


def test_a_file_is_shown_with_its_ranges_and_distributions(home, tmp_path):
    page = tmp_path / "page.html"
    shown = json.loads(run("show", file_of(home), "--json", "--html", page).stdout)
    table = pq.read_table(file_of(home))
    assert shown["rows"] == table.num_rows
    assert [one["name"] for one in shown["features"]] == list(FEATURE_NAMES)
    mid = shown["features"][Feature.MID_PRICE]
    values = table["mid_price"].to_numpy()
    assert mid["value"] == values[-1]
    found = mid["distribution"]
    assert (found["low"], found["high"], found["warm_share"]) == (values.min(), values.max(), 1.0)
    assert found["median"] == np.median(values)
    assert sum(found["counts"]) == len(values)
    text = page.read_text()
    assert 'id="feature-2"' in text
    assert "http" not in text.split("<script>")[0].replace("http-equiv", "")
    plain = run("show", file_of(home)).stdout
    assert "mid_price" in plain
    assert "█" in plain


def test_a_file_is_asked_for_a_moment_of_its_own(home):
    table = pq.read_table(file_of(home))
    times = table["ts_event"].to_numpy()
    shown = json.loads(run("show", file_of(home), "--json", "--at", int(times[50]) + 1).stdout)
    assert shown["ts_event"] == times[50]
    assert shown["features"][Feature.ORDER_FLOW_IMBALANCE]["value"] == table["order_flow_imbalance"][50].as_py()
    early = run("show", file_of(home), "--at", int(times[0]) - 1)
    assert (early.exit_code, "no vector at or before" in early.output) == (EXIT_DATA, True)


def test_recorded_data_at_a_moment_is_what_a_file_has_then(home):
    table = pq.read_table(file_of(home))
    # A row is read by the first message of its moment: at one without a print both know the same.
    printed = {event.ts_event for event in events() if type(event) is TradePrint}
    row = next(row for row in reversed(range(table.num_rows)) if table["ts_event"][row].as_py() not in printed)
    at = int(table["ts_event"][row].as_py()) + 3_000_000
    shown = json.loads(run("show", "BTCUSDT", "--at", at, "--data", home / "data", "--json", *SHORT).stdout)
    assert (shown["instrument"], shown["ts_event"], shown["rows"]) == (BTC, at - 3_000_000, 0)
    for one in shown["features"]:
        assert one["distribution"] is None
        if not one["name"].startswith(LOOK_BACK_FURTHER):
            assert one["value"] == pytest.approx(table[one["name"]][row].as_py(), rel=1e-6), one["name"]


def test_a_moment_without_a_book_is_said(home):
    done = run("show", "BTCUSDT", "--at", MIDNIGHT - 10**15, "--data", home / "data", *SHORT)
    assert (done.exit_code, "no features, the book is" in done.output) == (EXIT_DATA, True)


def test_a_page_needs_a_file(home, tmp_path):
    done = run("show", "BTCUSDT", "--html", tmp_path / "page.html")
    assert (done.exit_code, "name one that" in done.output) == (EXIT_CONFIG, True)
    done = run("show", tmp_path / "none.parquet")
    assert (done.exit_code, "cannot be read" in done.output) == (EXIT_DATA, True)


def test_a_histogram_in_a_line_shows_all_that_is_not_nought():
    assert bars([0, 1, 50, 100]) == " ▁▄█"
    assert bars([7]) == "█"


# --- a running bot ----------------------------------------------------------------------------------------------------


class Living:
    """The socket of a bot, served by a thread."""

    def __init__(self, folder, *events):
        engine = an_engine()
        for event in events:
            engine.step(event)
        self.features = Features(engine, lambda: 1)
        model = ReadModel(engine, Latencies(), Surroundings(features=self.features.latest))
        self._loop = asyncio.new_event_loop()
        rules = tuple(state.rules for state in engine.state.instruments.values())
        hello = Hello(
            version="1",
            mode="paper",
            market="a test",
            is_synthetic=True,
            account="main",
            started_ts=1,
            instruments=rules,
            strategies=(),
            candle_interval_ns=10**9,
        )
        self._publisher = Publisher(folder, hello, model, lambda _: "", lambda: 1)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._do(self._publisher.start())
        return self

    def __exit__(self, *_):
        self._do(self._publisher.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


def test_a_running_bot_is_asked_over_its_socket(tmp_path):
    state = ("--set", f"trade.state={tmp_path}")
    with Living(tmp_path, a_snapshot(ts=10**9)) as bot:
        shown = json.loads(run("show", "BTCUSDT", "--json", *state).stdout)
        kept = bot.features.store.recent("test:linear:BTCUSDT")[-1]
        assert (shown["instrument"], shown["ts_event"]) == ("test:linear:BTCUSDT", 10**9)
        assert [one["value"] for one in shown["features"]] == kept.values.tolist()
        assert [one["is_warm"] for one in shown["features"]] == kept.warm.tolist()
        other = run("show", "DOGEUSDT", *state)
        assert (other.exit_code, "DOGEUSDT" in other.output) == (EXIT_CONFIG, True)
    gone = run("show", "BTCUSDT", *state)
    assert (gone.exit_code, "no bot runs" in gone.output) == (EXIT_FAILED, True)


def test_a_bot_whose_book_gives_no_vector_is_said(tmp_path):
    with Living(tmp_path):
        done = run("show", "BTCUSDT", "--set", f"trade.state={tmp_path}", "--set", "feature_store.interval=10ms")
    assert (done.exit_code, "its book is not usable" in done.output) == (EXIT_DATA, True)
