"""`stakan config` and `stakan strategies`, run as a user runs them."""

import json
import tomllib

import pytest
import typer
from typer.testing import CliRunner

from stakan.apps.cli.config import config_app
from stakan.apps.cli.output import EXIT_CONFIG
from stakan.apps.cli.plugins import detectors_command, strategies_command
from stakan.apps.config import load_settings


def run(*arguments):
    app = typer.Typer()
    app.add_typer(config_app, name="config")
    app.command("strategies")(strategies_command)
    app.command("detectors")(detectors_command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_example_is_a_file_that_can_be_used_as_it_is(tmp_path):
    path = tmp_path / "stakan.toml"
    path.write_text(run("config", "example").stdout, encoding="utf-8")
    assert load_settings(path, environment={}) == load_settings(environment={})
    checked = run("config", "check", path)
    assert checked.exit_code == 0
    assert "is sound" in checked.stdout


def test_what_is_shown_is_what_is_in_force(tmp_path):
    path = tmp_path / "stakan.toml"
    path.write_text("[engine]\ncooldown = '9s'\n[densities.instruments.'bybit:linear:BTCUSDT']\nrelative = 2.5\n")
    for table in (
        tomllib.loads(run("config", "show", path).stdout),
        json.loads(run("config", "show", path, "--json").stdout),
    ):
        assert table["engine"]["cooldown"] == "9s"
        assert table["densities"]["instruments"] == {"bybit:linear:BTCUSDT": {"relative": 2.5}}


def test_names_of_instruments_are_left_to_the_run(tmp_path):
    path = tmp_path / "stakan.toml"
    path.write_text("[densities.instruments.BTCUSDT]\nrelative = 2.5\n")
    assert run("config", "check", path).exit_code == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[densities.instruments.BTCUSDT]\nrelativ = 2.5\n", "relativ"),
        ("[[strategies]]\nname = 'nothing'\n", "nothing"),
        ("[simulation]\nqueue = { rule = 'lucky' }\n", "queue.rule"),
        ("[engine]\ncandle_interval = '7s'\n", "engine.candle_interval"),
        ("[engine\n", "not valid TOML"),
    ],
)
def test_what_cannot_work_ends_with_the_code_of_a_wrong_configuration(tmp_path, text, says):
    path = tmp_path / "stakan.toml"
    path.write_text(text)
    checked = run("config", "check", path)
    assert checked.exit_code == EXIT_CONFIG
    assert says in checked.output.replace("\n", "")


def test_strategies_are_listed_with_their_parameters():
    found = json.loads(run("strategies", "--json").stdout)
    assert {view["name"] for view in found} >= {"imbalance", "density_bounce", "density_breakout"}
    assert all(view["idea"] and view["parameters"] for view in found)
    assert "imbalance" in run("strategies").stdout
