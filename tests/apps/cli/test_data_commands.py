"""`stakan import` and `stakan data`, run as a user runs them."""

import gzip
import json

import pytest
import typer
from tests.adapters.parquet.builders import BTC, START, a_delta, a_session, a_snapshot
from typer.testing import CliRunner

from stakan.adapters.parquet.layout import leftovers, recordings, visible_parts
from stakan.adapters.parquet.reader import MarketStore
from stakan.adapters.parquet.schema import Source
from stakan.adapters.parquet.writer import MarketWriter
from stakan.apps.cli.data import data_app
from stakan.apps.cli.importing import import_command, known_instruments
from stakan.apps.cli.output import EXIT_CONFIG, EXIT_DATA, ReadMeter, parse_time
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import SECOND

INSTRUMENTS = """
[instruments."bybit:linear:BTCUSDT"]
base = "BTC"
quote = "USDT"
settle = "USDT"
tick_size = 0.1
lot_size = 0.001
min_size = 0.001
min_notional = 5
maker_fee = 0.0002
taker_fee = 0.00055
max_leverage = 100
[[instruments."bybit:linear:BTCUSDT".margin_tiers]]
notional_limit = 2000000
maintenance_rate = 0.005
deduction = 0
max_leverage = 100
"""


def run(*arguments):
    app = typer.Typer()
    app.command("import")(import_command)
    app.add_typer(data_app, name="data")
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def a_trades_file(path, day="2025-12-04", count=20):
    start = parse_time(day) // SECOND
    rows = [
        f"{start + i * 7}.25,BTCUSDT,{'Buy' if i % 2 else 'Sell'},0.0{i + 10},{90_000 + i}.1,PlusTick,id-{i}"
        for i in range(count)
    ]
    header = "timestamp,symbol,side,size,price,tickDirection,trdMatchID"
    path.write_bytes(gzip.compress("\n".join([header, *rows, ""]).encode(), mtime=0))
    return path


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "instruments.toml"
    path.write_text(INSTRUMENTS)
    return path


@pytest.fixture
def trades(tmp_path):
    return a_trades_file(tmp_path / "BTCUSDT2025-12-04.csv.gz")


def imported(trades, rules, data, *more):
    return run("import", trades, "--instruments", rules, "--out", data, *more)


# --- import ---------------------------------------------------------------------------------------------------------


def test_an_import_says_what_it_brought(trades, rules, tmp_path):
    done = imported(trades, rules, tmp_path / "data", "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["events"] == {"TradePrint": 20}
    assert summary["format"] == "bybit-archive"
    assert summary["gaps"] == 0
    assert len(visible_parts(tmp_path / "data")) == 1


def test_an_import_prints_a_table_for_people(trades, rules, tmp_path):
    done = imported(trades, rules, tmp_path / "data")
    assert done.exit_code == 0
    assert "TradePrint" in done.stdout
    assert "receive times assumed" in done.stdout


def test_the_same_file_twice_is_refused_and_leaves_the_data_as_it_was(trades, rules, tmp_path):
    data = tmp_path / "data"
    imported(trades, rules, data)
    before = visible_parts(data)
    again = imported(trades, rules, data)
    assert again.exit_code == EXIT_DATA
    assert "--replace" in again.stderr
    assert visible_parts(data) == before


def test_the_same_trades_in_another_file_are_refused_because_they_overlap(trades, rules, tmp_path):
    data = tmp_path / "data"
    imported(trades, rules, data)
    other = a_trades_file(tmp_path / "mirror.csv.gz", count=19)
    again = imported(other, rules, data)
    assert again.exit_code == EXIT_DATA
    assert "is there already" in again.stderr
    assert leftovers(data) == []
    assert len(recordings(data)) == 1


def test_replacing_puts_the_new_import_in_the_old_ones_place(trades, rules, tmp_path):
    data = tmp_path / "data"
    imported(trades, rules, data)
    again = imported(trades, rules, data, "--replace", "--json")
    assert again.exit_code == 0, again.output
    assert len(json.loads(again.stdout)["replaced"]) == 1
    assert len(recordings(data)) == 1
    assert len([e for window in MarketStore(data).history().windows() for e in window.events()]) == 20


def test_a_recording_is_not_replaced_by_a_part_of_it(trades, rules, tmp_path):
    data = tmp_path / "data"
    imported(trades, rules, data)
    less = a_trades_file(tmp_path / "less.csv.gz", count=10)
    again = imported(less, rules, data, "--replace")
    assert again.exit_code == EXIT_DATA
    assert "import all of its files together" in again.stderr


def test_a_broken_file_leaves_nothing(rules, tmp_path):
    broken = tmp_path / "BTCUSDT2025-12-04.csv.gz"
    broken.write_bytes(a_trades_file(tmp_path / "whole.gz", count=500).read_bytes()[:-300])
    done = imported(broken, rules, tmp_path / "data")
    assert done.exit_code == EXIT_DATA
    assert broken.name in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "data").rglob("*.parquet*"))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--format", "excel"], "should be one of"),
        (["--map", "price"], "name=column"),
        (["--map", "kind=trades"], "--map"),
        (["--symbol", "XYZ"], "XYZ"),
    ],
)
def test_an_option_that_cannot_work_is_a_configuration_error(trades, rules, tmp_path, options, word):
    done = imported(trades, rules, tmp_path / "data", *options)
    assert done.exit_code == EXIT_CONFIG
    assert word in done.stderr


def test_named_columns_are_imported_by_a_mapping(rules, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("when,px,qty,dir\n1764806400000,90000.1,0.5,buy\n1764806401000,90000.2,0.25,sell\n")
    words = ["kind=trades", "time=when", "price=px", "size=qty", "side=dir"]
    options = [word for pair in words for word in ("--map", pair)]
    done = imported(table, rules, tmp_path / "data", "--symbol", "BTCUSDT", "--format", "columns", "--json", *options)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["events"] == {"TradePrint": 2}


# --- data -----------------------------------------------------------------------------------------------------------


def a_store(root, events=None):
    with MarketWriter(root, Source(description="a test")) as writer:
        for event in events or a_session(300):
            writer.add(event)
    return root


def test_list_shows_what_there_is(tmp_path):
    a_store(tmp_path)
    listed = run("data", "list", "--data", tmp_path)
    assert listed.exit_code == 0
    assert BTC in listed.stdout
    assert "2023-12-08 23:59" in listed.stdout
    rows = json.loads(run("data", "list", "--data", tmp_path, "--json").stdout)
    assert sum(row["rows"] for row in rows) == len(a_session(300))


def test_an_empty_store_says_how_to_fill_it(tmp_path):
    listed = run("data", "list", "--data", tmp_path)
    assert listed.exit_code == 0
    assert "stakan import" in listed.stdout


def test_check_of_a_sound_store_succeeds(tmp_path):
    checked = run("data", "check", "--data", a_store(tmp_path))
    assert checked.exit_code == 0
    assert "all sound" in checked.stdout


def test_check_names_the_file_and_the_row_of_a_gap(tmp_path):
    a_store(tmp_path, [a_snapshot(), a_delta(sequence=2), a_delta(sequence=7)])
    checked = run("data", "check", "--data", tmp_path)
    assert checked.exit_code == EXIT_DATA
    assert visible_parts(tmp_path)[0].path.name in checked.stderr
    assert "row 2" in checked.stderr
    (problem,) = json.loads(run("data", "check", "--data", tmp_path, "--json").stdout)
    assert problem["row"] == 2


def test_check_can_leave_out_the_books(tmp_path):
    a_store(tmp_path, [a_snapshot(), a_delta(sequence=7)])
    assert run("data", "check", "--no-books", "--data", tmp_path).exit_code == 0


def test_show_prints_the_ladder_and_the_tape(tmp_path):
    a_store(tmp_path)
    shown = run("data", "show", "BTCUSDT", "--at", "2023-12-08T23:59:50", "--data", tmp_path)
    assert shown.exit_code == 0, shown.output
    assert "bid size" in shown.stdout
    assert "Last prints" in shown.stdout
    view = json.loads(run("data", "show", BTC, "--at", START + 20 * SECOND, "--data", tmp_path, "--json").stdout)
    assert view["bids"] == [["100", str(1 + 100 % 7)]]
    assert view["asks"] == [["101", str(1 + 100 % 5)]]
    assert view["sequence"] == 101


def test_an_unknown_instrument_and_a_wrong_time_are_refused(tmp_path):
    a_store(tmp_path)
    unknown = run("data", "show", "SOLUSDT", "--at", "2023-12-09", "--data", tmp_path)
    assert (unknown.exit_code, "SOLUSDT" in unknown.stderr) == (EXIT_CONFIG, True)
    wrong = run("data", "show", "BTCUSDT", "--at", "noon", "--data", tmp_path)
    assert (wrong.exit_code, "noon" in wrong.stderr) == (EXIT_CONFIG, True)
    early = run("data", "show", "BTCUSDT", "--at", "2020-01-01", "--data", tmp_path)
    assert early.exit_code == EXIT_DATA


# --- pieces ---------------------------------------------------------------------------------------------------------


def test_times_are_utc_in_any_of_the_usual_forms():
    assert parse_time("2023-12-09") == parse_time("2023-12-09T00:00:00+00:00") == 1_702_080_000 * SECOND
    assert parse_time("1702080000") == parse_time("1702080000000") == parse_time("2023-12-09T02:00:00+02:00")
    with pytest.raises(ConfigError):
        parse_time("12345678901")


def test_the_meter_follows_open_files(tmp_path):
    path = tmp_path / "some"
    path.write_bytes(bytes(1000))
    meter = ReadMeter([path])
    if not meter.works:
        pytest.skip("this system has no /proc")
    assert meter.read() == 0
    with path.open("rb", buffering=0) as file:
        file.read(400)
        assert meter.read() == 400
    assert meter.read() == 1000


# --- densities ------------------------------------------------------------------------------------------------------


def a_market_with_densities():
    """Two bids of 900 lots come and go untraded, after 4 and 8 seconds; a third still stands at the end."""
    levels = tuple((10_000 - i, 5) for i in range(10)) + tuple((10_001 + i, 5) for i in range(10))
    yield a_snapshot(levels=levels, bids=10)
    happens = {1: (9_998, 900), 5: (9_998, 5), 6: (9_997, 900), 14: (9_997, 5), 15: (9_996, 900), 18: (9_996, 901)}
    for number, (second, level) in enumerate(happens.items(), 2):
        yield a_delta(t=START + second * SECOND, sequence=number, levels=(level,))


def test_densities_says_how_long_they_live_and_what_ends_them(tmp_path, rules):
    root = tmp_path / "data"
    with MarketWriter(root, Source(description="a test"), instruments=known_instruments(root, rules)) as writer:
        for event in a_market_with_densities():
            writer.add(event)
    wanted = ("data", "densities", "BTCUSDT", "--data", root, "--set", "densities.min_notional=500")
    shown = run(*wanted)
    assert shown.exit_code == 0, shown.output
    assert "median life" in shown.stdout
    (found,) = json.loads(run(*wanted, "--json").stdout)
    everything = found["groups"][0]
    ends = [everything[name] for name in ("count", "consumed", "cancelled", "out_of_sight", "living", "median_s")]
    assert ends == [3, 0, 2, 0, 1, 4.0]
    assert found["seconds"] == 18.0
    assert everything["surviving"]["1"][0] == 1.0
    assert everything["surviving"]["10"][0] == 0.0
    none = json.loads(run(*wanted[:-1], "densities.min_notional=1e9", "--json").stdout)
    assert [group["count"] for group in none[0]["groups"]] == [0]


def test_densities_of_nothing_says_so(tmp_path):
    failed = run("data", "densities", "--data", tmp_path)
    assert failed.exit_code == EXIT_DATA
    assert "no market data" in failed.output
