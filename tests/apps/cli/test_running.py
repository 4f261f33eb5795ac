"""The programs as a user runs them: synthetic, backtest, replay, report, config, strategies; and everything that goes wrong."""

import csv
import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import click
import pytest
import typer
from typer.testing import CliRunner

from stakan.adapters.synthetic.episodes import read_truth
from stakan.apps.cli.main import app
from stakan.apps.cli.output import EXIT_CONFIG, EXIT_DATA, EXIT_STORAGE
from stakan.apps.config import load_settings, to_toml
from stakan.apps.results.files import read_run

pytestmark = pytest.mark.usefixtures("compiled")

STAKAN = [sys.executable, "-c", "from stakan.apps.cli.main import main; main()"]


def run(*arguments, **environment):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def refused(done, code, *words):
    """One clear line, the right exit code, no traceback."""
    assert done.exit_code == code, done.output
    assert isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert str(word) in lines[0], lines[0]


def leftovers(folder):
    """Everything below a folder, hidden or not."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Two equal runs and one of another seed, as JSON, with their folders."""
    home = tmp_path_factory.mktemp("runs")
    found = []
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        out = home / name
        done = run("synthetic", "--minutes", "0.5", "--seed", seed, "--out", out, "--json")
        assert done.exit_code == 0, done.output
        (folder,) = out.iterdir()
        found.append((json.loads(done.stdout), folder))
    return found


# --- synthetic, report, replay -------------------------------------------------------------------------------------------


def test_a_synthetic_run_needs_nothing_and_says_that_it_is_synthetic(tmp_path):
    done = run("synthetic", "--minutes", "0.2", "--out", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    assert "SYNTHETIC" in done.stdout
    assert "No profit is promised" in done.stdout
    assert "Fingerprint" in done.stdout
    assert "Traceback" not in done.stderr
    assert "Planted" in done.stdout
    with next((tmp_path / "runs").glob("*/truth.jsonl")).open("rb") as lines:
        assert any(episode.is_manipulation for episode in read_truth(lines).episodes)


def test_equal_runs_are_equal_and_others_are_not(twins):
    (one, _), (two, _), (other, _) = twins
    assert one["fingerprint"] == two["fingerprint"] != other["fingerprint"]
    assert one["data"]["is_synthetic"]


def test_a_run_leaves_its_result_its_page_and_its_tables(twins):
    result, folder = twins[0]
    assert {path.name for path in folder.iterdir()} == {
        "result.json",
        "report.html",
        "trades.csv",
        "signals.csv",
        "journal",
        "truth.jsonl",
    }
    assert json.loads((folder / "result.json").read_bytes()) == result
    with (folder / "trades.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result["trades"])


def test_a_replay_computes_every_step_again(twins):
    _, folder = twins[0]
    done = run("replay", folder)
    assert done.exit_code == 0, done.output
    assert "all equal" in done.stdout
    answer = json.loads(run("replay", folder / "journal", "--json").stdout)
    assert answer["differences"] == 0
    assert answer["steps"] > 500


def test_a_report_shows_one_run_and_compares_two(twins):
    (result, one), (_, two), (_, other) = twins
    shown = run("report", one)
    assert shown.exit_code == 0
    assert result["fingerprint"] in shown.stdout
    same = json.loads(run("report", one, two, "--json").stdout)
    assert same["comparison"]
    compared = run("report", one, other)
    assert compared.exit_code == 0, compared.output
    assert "Comparison" in compared.stdout


def test_another_configuration_on_the_same_data_is_told_from_other_data(twins, tmp_path):
    """One run has positions to close after the last event, the other has none: the data are the same all the same."""
    (_, one), _, (_, other) = twins
    done = run("synthetic", "--minutes", "0.5", "--set", "strategies=[]", "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    (idle,) = tmp_path.iterdir()
    compared = json.loads(run("report", one, idle, "--json").stdout)["comparison"]
    assert (compared["same_data"], compared["same_config"]) == (True, False)
    compared = json.loads(run("report", one, other, "--json").stdout)["comparison"]
    assert (compared["same_data"], compared["same_config"]) == (False, True)


def test_a_comparison_is_written_as_a_page(twins, tmp_path):
    (_, one), _, (_, other) = twins
    page = tmp_path / "both.html"
    done = run("report", one, other, "--out", page)
    assert done.exit_code == 0, done.output
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:9000] + bytes([data[9000] ^ 1]) + data[9001:], ["000001.journal", "damaged block at byte"]),
        (lambda _: b"", ["000001.journal", "no header"]),
    ],
)
def test_a_damaged_journal_is_named_with_the_byte(twins, tmp_path, damage, words):
    folder = tmp_path / "run"
    shutil.copytree(twins[0][1], folder)
    segment = folder / "journal" / "000001.journal"
    segment.write_bytes(damage(segment.read_bytes()))
    refused(run("replay", folder), EXIT_DATA, *words)


def test_a_journal_whose_end_is_torn_is_replayed_as_far_as_it_goes(twins, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(twins[0][1], folder)
    segment = folder / "journal" / "000001.journal"
    segment.write_bytes(segment.read_bytes()[:-20_000])
    answer = json.loads(run("replay", folder, "--json").stdout)
    assert (answer["differences"], answer["is_complete"]) == (0, False)
    assert 0 < answer["steps"] < json.loads(run("replay", twins[0][1], "--json").stdout)["steps"]


def test_what_is_no_run_is_refused_by_report_and_replay(tmp_path):
    refused(run("report", tmp_path / "nothing"), EXIT_DATA, tmp_path / "nothing")
    refused(run("replay", tmp_path / "nothing"), EXIT_DATA, tmp_path / "nothing")
    (tmp_path / "result.json").write_text("{}")
    refused(run("report", tmp_path), EXIT_DATA, "result.json")


# --- backtest -------------------------------------------------------------------------------------------------------

HEADER = "timestamp,symbol,side,size,price,tickDirection,trdMatchID"


def a_trades_file(path, rows=None, count=200):
    start = 1_764_806_400
    made = [
        f"{start + i // 5}.{i % 5}5,BTCUSDT,{'Buy' if i % 2 else 'Sell'},0.{i + 10:03},{90_000 + i % 9}.1,ZeroPlusTick,id-{i}"
        for i in range(count)
    ]
    lines = [HEADER, *made] if rows is None else rows(HEADER, made)
    path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), mtime=0))
    return path


@pytest.fixture
def trades(tmp_path):
    return a_trades_file(tmp_path / "BTCUSDT2025-12-04.csv.gz")


@pytest.fixture
def store(trades, tmp_path):
    done = run("import", trades, "--out", tmp_path / "data", "--json")
    assert done.exit_code == 0, done.output
    return tmp_path / "data"


def test_a_backtest_of_a_store_writes_a_named_run(store, tmp_path):
    done = run("backtest", "--data", store, "--out", tmp_path / "runs", "--name", "mine", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["speed"]["events"] >= 200
    assert read_run(tmp_path / "runs" / "mine").fingerprint == result["fingerprint"]


def test_the_same_name_twice_is_refused_and_the_first_run_stays(store, tmp_path):
    command = ("backtest", "--data", store, "--out", tmp_path / "runs", "--name", "mine", "--journal")
    assert run(*command).exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    refused(run(*command), EXIT_STORAGE, "mine", "exists already")
    assert {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()} == before


def test_a_backtest_of_files_is_one_of_their_store(store, trades, tmp_path):
    one = run("backtest", "--data", store, "--out", tmp_path / "runs", "--name", "a", "--json")
    other = run("backtest", "--data", trades, "--out", tmp_path / "runs", "--name", "b", "--json")
    assert json.loads(one.stdout)["fingerprint"] == json.loads(other.stdout)["fingerprint"]


def test_a_stretch_of_time_can_be_chosen(store, tmp_path):
    def events(*more):
        done = run(
            "backtest", "--data", store, "--out", tmp_path / "runs", "--json", "--name", "-".join(more)[-9:], *more
        )
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)["speed"]["events"]

    everything = events("--timerange", "20251204-20251205")
    assert 0 < events("--from", "2025-12-04T00:00:20") < everything


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--timerange", "2025"], ["--timerange", "YYYYMMDD-YYYYMMDD"]),
        (["--timerange", "20251204-20251205", "--from", "2025-12-04"], ["--timerange"]),
        (["--from", "yesterday"], ["yesterday"]),
        (["-i", "NOPEUSDT"], ["NOPEUSDT"]),
        (["--set", "engine.candle=1s"], ["engine.candle"]),
        (["--set", "engine.candle_interval=fast"], ["engine.candle_interval", "fast"]),
        (["--set", "nonsense"], ["nonsense", "key=value"]),
        (["--set", "simulation.magic=1"], ["simulation.magic"]),
        (["--set", "densities.magic=1"], ["densities.magic"]),
        (["--set", "account.leverage=0"], ["account.leverage"]),
        (["--config", "nowhere.toml"], ["nowhere.toml"]),
    ],
)
def test_what_cannot_work_is_named_before_anything_runs(store, tmp_path, options, words):
    done = run("backtest", "--data", store, "--out", tmp_path / "runs", *options)
    refused(done, EXIT_CONFIG, *words)
    assert not (tmp_path / "runs").exists()


def test_an_empty_stretch_and_an_empty_store_are_data_errors(store, tmp_path):
    late = run("backtest", "--data", store, "--out", tmp_path / "runs", "--from", "2030-01-01")
    refused(late, EXIT_DATA, "data")
    refused(run("backtest", "--data", tmp_path / "void", "--out", tmp_path / "runs"), EXIT_DATA, tmp_path / "void")
    assert not (tmp_path / "runs").exists()


def test_a_strategy_of_ones_own_is_run_from_its_file(store, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        '"""Mine."""\nfrom stakan.core.plugins import Strategy\n\n'
        'class Mine(Strategy, frozen=True, kw_only=True):\n    """Says nothing."""\n\n    patience: int = 3\n\n'
        "    def decide(self, view, state):\n        return None\n"
    )
    config = tmp_path / "c.toml"
    config.write_text(f'[[strategies]]\nname = "mine"\nfile = "{mine}"\nparameters = {{ patience = 4 }}\n')
    assert run("config", "check", config).exit_code == 0
    assert run("backtest", "--data", store, "--out", tmp_path / "runs", "-c", config).exit_code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_this_name\n", ["mine.py", "nothing_of_this_name"]),
        ("class (\n", ["mine.py", "SyntaxError", "line 1"]),
        ("x = 1 / 0\n", ["mine.py", "division by zero"]),
        ('"""Empty."""\n', ["mine"]),
    ],
)
def test_a_strategy_file_that_cannot_be_loaded_is_named(tmp_path, text, words):
    (tmp_path / "mine.py").write_text(text)
    config = tmp_path / "c.toml"
    config.write_text(f'[[strategies]]\nname = "mine"\nfile = "{tmp_path / "mine.py"}"\n')
    refused(run("config", "check", config), EXIT_CONFIG, *words)


# --- broken files ---------------------------------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def with_rows(change):
    return lambda path: a_trades_file(path, change)


def replaced(old, new, row=7):
    def change(header, rows):
        rows = list(rows)
        assert old in rows[row]
        rows[row] = rows[row].replace(old, new)
        return [header, *rows]

    return with_rows(change)


BROKEN = {
    "a truncated archive": (cut, []),
    "a missing column": (
        with_rows(lambda header, rows: [header.replace("price", "prize"), *rows]),
        ["column price is missing"],
    ),
    "a header without its rows' width": (with_rows(lambda h, rows: [h.replace("price,", ""), *rows]), ["line 2"]),
    "a negative price": (replaced(",90007.1,", ",-90007.1,"), ["line 9", "price"]),
    "a price that is no number": (replaced(",90007.1,", ",nan,"), ["line 9", "price"]),
    "a price off the tick": (replaced(",90007.1,", ",90007.15,"), ["line 9", "90007.15"]),
    "a size of nothing": (replaced("0.017", "0"), ["line 9", "size"]),
    "an unknown side": (replaced("Buy", "Bye"), ["line 9", "Bye"]),
    "an unknown symbol": (
        with_rows(lambda h, rows: [h, *(row.replace("BTCUSDT", "WHATUSDT") for row in rows)]),
        ["WHATUSDT"],
    ),
    "milliseconds among seconds": (replaced("1764806401.25", "1764806401250"), ["line 9", "time"]),
    "nothing at all": (with_rows(lambda _header, _rows: []), []),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("command", ["import", "backtest"])
def test_a_broken_file_is_one_clear_line_and_leaves_nothing(tmp_path, what, command):
    damage, words = BROKEN[what]
    path = a_trades_file(tmp_path / "BTCUSDT2025-12-04.csv.gz")
    damage(path)
    out = tmp_path / "out"
    options = ["--out", out, "--format", "bybit-archive"] if command == "import" else ["--data", path, "--out", out]
    done = run(command, path, *options) if command == "import" else run(command, *options)
    assert done.exit_code in {EXIT_DATA, EXIT_CONFIG}
    refused(done, done.exit_code, path.name if "symbol" not in what else "WHATUSDT", *words)
    assert not [name for name in leftovers(out) if not name.startswith("_")]


# --- config and strategies ------------------------------------------------------------------------------------------


def test_the_example_is_a_file_that_changes_nothing(tmp_path):
    example = run("config", "example")
    assert example.exit_code == 0
    path = tmp_path / "example.toml"
    path.write_text(example.stdout)
    assert to_toml(load_settings(path, environment={})) == to_toml(load_settings(environment={}))
    assert run("config", "check", path).exit_code == 0


def test_what_is_in_force_is_shown_as_toml_and_json(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[engine]\ncandle_interval = "5s"\n')
    assert 'candle_interval = "5s"' in run("config", "show", path).stdout
    assert json.loads(run("config", "show", path, "--json").stdout)["engine"]["candle_interval"] == "5s"


def test_the_environment_overrides_the_file(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[engine]\ncandle_interval = "5s"\n')
    shown = run("config", "show", path, "--json", STAKAN__ENGINE__CANDLE_INTERVAL="2s", MAX_OPEN_POSITIONS="3")
    values = json.loads(shown.stdout)
    assert values["engine"]["candle_interval"] == "2s"
    assert {"max_positions": "3"} in [rule["parameters"] for rule in values["risk"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[engine]\ncandel_interval = '1s'\n", ["engine.candel_interval", "not a known key"]),
        ("[[strategies]]\nname = 'moonshot'\n", ["moonshot"]),
        ("[[strategies]]\nname = 'imbalance'\nparameters = { buy = 1 }\n", ["imbalance", "buy"]),
        ("[[strategies]]\nname = 'imbalance'\nparameters = { stop_bps = 'wide' }\n", ["imbalance", "stop_bps"]),
        ("[[risk]]\nname = 'luck'\n", ["luck"]),
        ("[engine\n", ["TOML"]),
        ("[account]\nstarting_balance = -5\n", ["account.starting_balance"]),
        ("[simulation]\nleverage = 'high'\n", ["simulation"]),
        ("[simulation.entry_latency]\ntype = 'constant'\nns = -5\n", ["negative"]),
        ("strategies = []\nstrategies = []\n", ["TOML"]),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_with_the_key(tmp_path, text, words):
    path = tmp_path / "c.toml"
    path.write_text(text)
    refused(run("config", "check", path), EXIT_CONFIG, *words)


def test_strategies_are_listed_with_their_parameters():
    listed = run("strategies")
    assert listed.exit_code == 0
    for name in ("imbalance", "density_breakout", "density_bounce"):
        assert name in listed.stdout
    views = json.loads(run("strategies", "--json").stdout)
    assert all(view["idea"] and view["parameters"] for view in views)


# --- help -----------------------------------------------------------------------------------------------------------


def commands(command, path=()):
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))


EVERY = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", EVERY, ids=[" ".join(path) or "stakan" for path in EVERY])
def test_every_command_and_every_option_says_what_it_is_for(path):
    command = EVERY[path]
    assert (command.help or "").strip()
    silent = [parameter.name for parameter in command.params if not (getattr(parameter, "help", "") or "").strip()]
    assert not silent
    shown = run(*path, "--help")
    assert shown.exit_code == 0
    assert "Usage" in shown.output


# --- real processes -------------------------------------------------------------------------------------------------


def listen_to_interrupts():
    """A shell has what it starts in the background ignore them, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*arguments, cwd, **options):
    options.setdefault("preexec_fn", listen_to_interrupts)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STAKAN__")}
    return subprocess.Popen(
        [*STAKAN, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finished(process):
    output, error = process.communicate(timeout=120)
    return process.returncode, output, error


def test_the_executable_answers_and_its_exit_codes_are_the_documented_ones(tmp_path):
    assert finished(start("--version", cwd=tmp_path))[0] == 0
    assert finished(start("backtest", "--data", "nowhere", cwd=tmp_path))[0] == EXIT_DATA
    assert finished(start("config", "show", "nowhere.toml", cwd=tmp_path))[0] == EXIT_CONFIG
    assert finished(start("backtest", "--nonsense", cwd=tmp_path))[0] == EXIT_CONFIG
    assert leftovers(tmp_path) == []


def test_json_of_a_real_process_is_nothing_but_json(tmp_path):
    code, output, error = finished(start("synthetic", "--minutes", "0.1", "--json", cwd=tmp_path))
    assert code == 0
    assert json.loads(output)["fingerprint"]
    assert error == ""


def until(what, process):
    """Wait for a sign of the process that it is in the middle of its work."""
    while not what():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_an_interrupt_ends_a_run_cleanly_and_leaves_no_half_run(tmp_path):
    process = start("synthetic", "--minutes", "1440", "--out", "runs", cwd=tmp_path)
    runs = tmp_path / "runs"
    until(lambda: any(path.stat().st_size > 10_000 for path in runs.rglob("*.journal")), process)
    process.send_signal(signal.SIGINT)
    code, _, error = finished(process)
    assert code == 130
    assert "Traceback" not in error
    assert leftovers(runs) == []


def limit_file_size():
    """No file may grow beyond this, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


@pytest.mark.parametrize("what", ["journal", "report"])
def test_a_full_disk_is_one_clear_line_and_leaves_no_half_run(tmp_path, store, what):
    runs = tmp_path / "runs"
    command = ("synthetic", "--minutes", "3") if what == "journal" else ("backtest", "--data", store)
    process = start(*command, "--out", runs, cwd=tmp_path, preexec_fn=limit_file_size)
    code, _, error = finished(process)
    assert code == EXIT_STORAGE, error
    assert "Traceback" not in error
    assert "cannot write" in error
    assert leftovers(runs) == []


def test_a_folder_that_may_not_be_written_is_named(tmp_path, store):
    (tmp_path / "file").write_text("in the way")
    done = run("backtest", "--data", store, "--out", tmp_path / "file" / "runs")
    refused(done, EXIT_STORAGE, "cannot write", tmp_path / "file")


def test_the_output_may_be_closed_early(tmp_path):
    process = subprocess.run(
        ["bash", "-c", '"$@" | head -n 1', "bash", *STAKAN, "config", "example"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.startswith("#")
    assert "Traceback" not in process.stderr
