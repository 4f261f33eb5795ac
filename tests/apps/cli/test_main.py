"""Commands are listed without being loaded, and are what the list says."""

import re
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


def commands_under(words, command):
    """A command and those below it, with the words that call them."""
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands_under([*words, name], below)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_keeps_what_stands_in_brackets(name):
    """Rich takes `[word]` for a style and swallows it, unless it is written `\\[word]`."""
    for words, command in commands_under([name], loaded(name, COMMANDS[name])):
        texts = [command.help or "", *(getattr(one, "help", None) or "" for one in command.params)]
        bracketed = {found for text in texts for found in re.findall(r"\[[^\]]+\]", text)}
        shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "500"}).stdout if bracketed else ""
        assert {one for one in bracketed if one not in shown} == set(), words
