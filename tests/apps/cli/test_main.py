"""Commands are listed without being loaded, and are what the list says."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from stakan.apps.cli.lazy import loaded
from stakan.apps.cli.main import ALIASES, COMMANDS, app

HEAVY = ("aiohttp", "ccxt", "numba", "numpy", "pyarrow", "sqlalchemy")


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], ["no-such-command"]])
def test_what_concerns_no_command_loads_none(words):
    code = (
        "import sys\n"
        "from stakan.apps.cli.main import main\n"
        f"sys.argv = ['stakan', *{words!r}]\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout or done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says_of_itself(name):
    told = loaded(name, COMMANDS[name])
    assert told.name == name
    assert " ".join(told.help.split("\n\n")[0].split()) == COMMANDS[name].help


def test_the_list_has_every_command_once_and_no_alias():
    listed = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    named = [line.split()[1] for line in listed.partition("Commands")[2].splitlines() if line.startswith("│")]
    assert named == list(COMMANDS)


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_its_command(alias):
    name = ALIASES[alias]
    of_alias, of_command = (CliRunner().invoke(app, [one, "--help"]).stdout.split() for one in (alias, name))
    assert of_alias[:3] == ["Usage:", "stakan", alias]
    assert of_alias[3:] == of_command[3:]


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one():
    answer = CliRunner().invoke(app, ["trad"])
    assert answer.exit_code == 2
    assert "trade" in answer.output
