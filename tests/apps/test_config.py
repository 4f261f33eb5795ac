"""Settings: defaults, files, overrides and the environment, and errors that name their key."""

import json
import os
import re
import subprocess
import sys
import tomllib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.exchanges.simulated.exchange import SimulationConfig
from stakan.apps.config import ALIASES, load_settings, settings_from, to_toml
from stakan.apps.durations import duration_ns
from stakan.apps.example import example
from stakan.apps.settings import Settings
from stakan.apps.wiring import engine_config
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from stakan.core.market.densities import DensityParams
from stakan.core.plugins import RiskRule, Strategy, load, names

UNITS = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


def a_file(folder, text):
    path = folder / "stakan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def the_example():
    return example(settings_from({}))


def uncommented(text):
    """The example with its commented-out keys in force; comments for people are no `key = value`."""
    return re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)


def loaded_in(environment, *overrides):
    """What a process of its own loads under these environment variables: settings, or the error's text."""
    code = (
        "import sys\n"
        "from stakan.apps.config import load_settings\n"
        "from stakan.core.domain.errors import ConfigError\n"
        "try:\n    print(load_settings(None, sys.argv[1:]).model_dump_json())\n"
        "except ConfigError as error:\n    sys.exit(f'refused: {error}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *overrides],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


@given(st.integers(0, 10_000), st.sampled_from(sorted(UNITS)))
def test_a_duration_is_a_number_of_its_unit(number, unit):
    assert duration_ns(f"{number}{unit}") == number * UNITS[unit]


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1w", "1 year", "nans", "infs", "1s2m"])
def test_what_is_not_a_duration_is_refused(text):
    with pytest.raises(ValueError, match="write 500ms, 5s, 1m, 4h or 1d"):
        duration_ns(text)


def test_defaults_are_valid_and_need_no_file():
    settings = load_settings(environment={})
    assert [entry.name for entry in settings.strategies] == ["imbalance", "density_breakout", "density_bounce"]
    assert settings.engine.candle_interval == "1m"


def test_settings_come_back_from_their_own_toml():
    settings = settings_from(
        {
            "instruments": ["BTCUSDT"],
            "sizing": {"notional": "250.5"},
            "strategies": [{"name": "mine", "file": "mine.py", "parameters": {"stop_bps": 3.5}}],
            "densities": {"min_notional": 1.0, "instruments": {"bybit:linear:BTCUSDT": {"relative": 2.0}}},
        }
    )
    assert settings_from(tomllib.loads(to_toml(settings))) == settings


def test_the_example_loads_to_the_defaults():
    assert settings_from(tomllib.loads(the_example())) == settings_from({})


def test_the_example_has_every_key():
    table = tomllib.loads(uncommented(the_example()))
    assert set(table) == set(Settings.model_fields)
    for section in ("engine", "account", "sizing"):
        assert set(table[section]) == set(Settings.model_fields[section].annotation.model_fields)
    assert set(table["densities"]) == set(DensityParams.__struct_fields__)
    assert set(table["simulation"]) == set(SimulationConfig.__struct_fields__) - {"starting_balance", "leverage"}


@pytest.mark.parametrize(("package", "kind"), [("strategies", Strategy), ("risk", RiskRule)])
def test_the_example_shows_every_parameter_of_every_plugin_with_its_default(package, kind):
    text = the_example()
    for name in names(f"stakan.core.{package}"):
        spec = load(f"stakan.core.{package}", kind, name, {})
        line = next(line for line in text.splitlines() if line.startswith(f"#   {name}: "))
        for parameter in spec.__struct_fields__:
            value = getattr(spec, parameter)
            shown = f'"{value}"' if isinstance(value, Decimal) else str(value)
            assert f"{parameter} = {shown}" in line


def test_the_example_says_what_every_key_of_a_section_is_for():
    lines = the_example().splitlines()
    for section in ("engine", "account", "sizing"):
        for field in Settings.model_fields[section].annotation.model_fields.values():
            assert f"# {field.description}" in lines


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("unknown = 1", "unknown"),
        ("[engine]\ncandel_interval = '1m'", "engine.candel_interval"),
        ("[engine]\ncandle_interval = 5", "engine.candle_interval"),
        ("[engine]\ncandle_interval = '2d'", "engine.candle_interval"),
        ("[engine]\ncooldown = 'soon'", "engine.cooldown"),
        ("[engine]\nmin_strength = 1.5", "engine.min_strength"),
        ("[engine]\nmin_strength = nan", "engine.min_strength"),
        ("[account]\nleverage = 0", "account.leverage"),
        ("[account]\nstarting_balance = 'much'", "account.starting_balance"),
        ("[account]\nstarting_balance = nan", "account.starting_balance"),
        ("[sizing]\nequity_share = 2", "sizing.equity_share"),
        ("[[strategies]]\nplugin = 'imbalance'", "strategies.0.name"),
        ("[[risk]]\nname = 'exposure'\nlimit = 3", "risk.0.limit"),
        ("densities = 3", "densities"),
    ],
)
def test_what_cannot_work_is_refused_by_file_and_key(tmp_path, text, key):
    path = a_file(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_settings(path, environment={})
    assert str(path) in str(refused.value)
    assert f"{key}:" in str(refused.value)


@pytest.mark.parametrize("interval", ["7s", "1h30m", "1001ms", "0s"])
def test_candles_must_divide_the_day_into_whole_seconds_or_more(tmp_path, interval):
    with pytest.raises(ConfigError, match=r"engine\.candle_interval"):
        load_settings(a_file(tmp_path, f"[engine]\ncandle_interval = '{interval}'"), environment={})


@pytest.mark.parametrize("key", ["equity_interval", "close_retry"])
def test_an_interval_that_something_is_repeated_at_is_above_zero(tmp_path, key):
    with pytest.raises(ConfigError, match=rf"engine\.{key}"):
        load_settings(a_file(tmp_path, f"[engine]\n{key} = '0s'"), environment={})


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        load_settings(tmp_path / "nothing.toml", environment={})
    with pytest.raises(ConfigError, match=r"stakan\.toml is not valid TOML"):
        load_settings(a_file(tmp_path, "engine = ["), environment={})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path, environment={})


def test_overrides_are_toml_or_plain_text_and_win_over_the_file(tmp_path):
    path = a_file(tmp_path, "[engine]\ncandle_interval = '1m'\nmin_strength = 0.1")
    overrides = ["engine.candle_interval=5s", "account.leverage=3", 'instruments=["BTCUSDT"]', "densities.relative=2.5"]
    settings = load_settings(path, overrides, environment={})
    assert settings.engine.candle_interval == "5s"
    assert settings.engine.min_strength == 0.1
    assert settings.account.leverage == 3
    assert settings.instruments == ("BTCUSDT",)
    assert settings.densities == {"relative": 2.5}


def test_an_override_reaches_a_single_instrument_by_its_full_id():
    settings = load_settings(None, ["densities.instruments.bybit:linear:BTCUSDT.relative=2.5"], environment={})
    assert settings.densities == {"instruments": {"bybit:linear:BTCUSDT": {"relative": 2.5}}}


@pytest.mark.parametrize("override", ["engine", "engine.candle_interval.more=1", "=1"])
def test_an_override_of_another_shape_is_refused(tmp_path, override):
    path = a_file(tmp_path, "[engine]\ncandle_interval = '1m'")
    with pytest.raises(ConfigError):
        load_settings(path, [override], environment={})


def test_familiar_names_of_the_environment_reach_their_plugins():
    environment = {
        "TRADING_PAIRS": "BTCUSDT, ETHUSDT",
        "IMBALANCE_BUY_THRESHOLD": "0.8",
        "IMBALANCE_SELL_THRESHOLD": "0.2",
        "MAX_OPEN_POSITIONS": "2",
        "MAX_EXPOSURE_USDT": "500",
        "MIN_ORDER_SIZE_USDT": "10",
        "LOG_LEVEL": "DEBUG",
        "DB_HOST": "db.example",
        "DB_PORT": "6432",
        "DB_NAME": "trades",
        "DB_USER": "bot",
    }
    assert set(environment) == set(ALIASES)
    settings = load_settings(environment=environment)
    assert settings.logs.level == "debug"
    database = settings.database
    assert (database.host, database.port, database.name, database.user) == ("db.example", 6432, "trades", "bot")
    assert settings.instruments == ("BTCUSDT", "ETHUSDT")
    parameters = {entry.name: entry.parameters for entry in (*settings.strategies, *settings.risk)}
    assert parameters["imbalance"] == {"buy_threshold": "0.8", "sell_threshold": "0.2"}
    assert parameters["position_count"] == {"max_positions": "2"}
    assert parameters["exposure"] == {"max_notional": "500"}
    assert parameters["order_size"] == {"min_notional": "10"}


def test_a_port_that_is_none_is_refused_by_the_name_that_it_was_given_under():
    with pytest.raises(ConfigError, match=r"DB_PORT should be database\.port"):
        load_settings(environment={"DB_PORT": "many"})


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://olga:hunter2@db.example/trades",
        "postgresql://olga:@db.example/trades",
        "postgresql://db.example/trades?user=olga&password=hunter2",
    ],
)
def test_a_password_does_not_belong_into_the_configuration_and_is_not_told(address, tmp_path):
    with pytest.raises(ConfigError, match="DB_PASSWORD") as refused:
        load_settings(a_file(tmp_path, f"[database]\nurl = '{address}'"), environment={})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("address", ["", "postgresql://olga@[::1]:5432/trades", "sqlite:////tmp/x.sqlite"])
def test_addresses_without_a_password_are_taken_as_they_are(address, tmp_path):
    settings = load_settings(a_file(tmp_path, f"[database]\nurl = '{address}'"), environment={})
    assert settings.database.url == address


def test_a_familiar_name_without_its_plugin_is_refused(tmp_path):
    file = tmp_path / "stakan.toml"
    file.write_text("risk = []\n")
    with pytest.raises(ConfigError, match="MAX_OPEN_POSITIONS"):
        load_settings(file, environment={"MAX_OPEN_POSITIONS": "2"})


def test_a_familiar_name_with_an_impossible_value_is_refused_by_its_name():
    with pytest.raises(ConfigError, match=r"LOG_LEVEL.*'loud'"):
        load_settings(environment={"LOG_LEVEL": "loud"})


def test_a_variable_of_no_section_is_refused_by_its_name():
    with pytest.raises(ConfigError, match="STAKAN__ENGIN__CANDLE_INTERVAL"):
        load_settings(environment={"STAKAN__ENGIN__CANDLE_INTERVAL": "5s"})


def test_overrides_of_one_run_win_over_the_environment():
    environment = {"STAKAN__ENGINE__CANDLE_INTERVAL": "5s", "STAKAN__DENSITIES__MIN_NOTIONAL": "1000"}
    found = loaded_in(environment, "engine.candle_interval=1s", "engine.cooldown=7s")
    assert found["engine"]["candle_interval"] == "1s"
    assert found["engine"]["cooldown"] == "7s"
    assert found["densities"] == {"min_notional": "1000"}


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("STAKAN__ENGINE__CANDEL_INTERVAL", "5s", "engine.candel_interval"),
        ("STAKAN__ACCOUNT__LEVERAGE", "many", "account.leverage"),
        ("STAKAN__INSTRUMENTS", "BTCUSDT", "instruments"),
    ],
)
def test_a_variable_that_cannot_work_is_refused_by_its_key(variable, value, key):
    found = loaded_in({variable: value})
    assert found.startswith("refused: ")
    assert key in found


def test_a_journal_s_settings_do_not_listen_to_the_environment():
    code = "from stakan.apps.config import settings_from; print(settings_from({}).engine.candle_interval)"
    environment = {"PATH": os.environ["PATH"], "STAKAN__ENGINE__CANDLE_INTERVAL": "5s"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1m"


def test_an_override_for_one_run_wins_over_the_environment():
    settings = load_settings(None, ["instruments=['ETHUSDT']"], {"TRADING_PAIRS": "BTCUSDT"})
    assert settings.instruments == ("ETHUSDT",)


def test_a_library_of_patterns_becomes_part_of_the_configuration(tmp_path):
    """What the file holds later changes no replay."""
    known = {"detector": "spoofing", "pattern": "spoofing", "evidence": {"life_s": 1.5}, "verdict": -1.0}
    file = tmp_path / "known.json"
    file.write_text(json.dumps({"known": [known], "radius": 1.0, "nearest": 5, "most": 0.5}))
    settings = load_settings(None, [f"patterns.library={file}", "patterns.radius=2.0"], {})
    file.unlink()
    again = tmp_path / "again.toml"
    again.write_text(to_toml(settings))
    for one in (settings, load_settings(again, [], {})):
        patterns = engine_config(one, "1", []).patterns
        assert (patterns.known[0].verdict, patterns.radius, patterns.most) == (-1.0, 2.0, 0.5)


def test_a_library_that_cannot_be_read_is_named_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(ConfigError, match="stakan findings library --out"):
        load_settings(None, [f"patterns.library={tmp_path / 'none.json'}"], {})
