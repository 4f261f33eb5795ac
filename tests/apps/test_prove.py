"""Demonstrations hold, a broken promise is told with exit code 1, and a file more is a demonstration more."""

import json
import sys
from itertools import groupby

import pytest
from typer.testing import CliRunner

from stakan.adapters.breaker import BreakerState
from stakan.apps.cli.main import app
from stakan.apps.prove import Story, claim_of, demonstrations, prove
from stakan.apps.prove.run import _folder
from stakan.core.domain.errors import ConfigError

OURS = ("breaker", "database-repair", "illegal-transition", "rate-limit", "same-intent")


@pytest.fixture
def added(tmp_path):
    """Adds a demonstration for the time of a test."""
    before = list(_folder.__path__)
    _folder.__path__.append(str(tmp_path))
    written = []

    def add(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        written.append(name)

    yield add
    _folder.__path__[:] = before
    for name in written:
        sys.modules.pop(f"{_folder.__name__}.{name}", None)


def test_those_of_this_part_are_there():
    assert set(OURS) <= set(demonstrations())


@pytest.fixture(scope="module")
def proven():
    """Each demonstration once: the proof, and what was told meanwhile."""
    known = {}

    def look(name):
        if name not in known:
            told = []
            known[name] = prove(name, told.append), told
        return known[name]

    return look


@pytest.mark.parametrize("name", demonstrations())
def test_every_demonstration_holds(name, proven):
    proof, told = proven(name)
    assert proof.holds, [one for one in proof.observations if one.holds is False]
    assert tuple(told) == proof.observations
    assert sum(one.holds is True for one in proof.observations) >= 3
    assert proof.claim == claim_of(name)


def test_the_story_of_the_breaker_is_a_timeline(proven):
    proof, _ = proven("breaker")
    found = [one.found.split(",")[0] for one in proof.observations]
    states = [one for one in found if one in set(BreakerState)]
    assert [state for state, _ in groupby(states)] == ["closed", "open", "half-open", "closed"]
    times = [one.at_s for one in proof.observations]
    assert times == sorted(times)


def test_a_story_without_a_claim_proves_nothing():
    story = Story()
    story.did("looked away")
    assert not story.holds
    story.claim("all is well", "it is", holds=True)
    assert story.holds
    story.claim("it is day", "night", holds=False)
    assert not story.holds


def test_an_unknown_name_is_told_before_anything_runs():
    with pytest.raises(ConfigError, match="illegal-transition"):
        claim_of("nothing")
    result = CliRunner().invoke(app, ["prove", "illegal-transition", "nothing"])
    assert result.exit_code == 2
    assert "filled" not in result.output


def test_results_are_read_by_programs():
    result = CliRunner().invoke(app, ["prove", "illegal-transition", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["holds"]
    assert [proof["name"] for proof in told["proofs"]] == ["illegal-transition"]
    assert told["proofs"][0]["observations"][0]["holds"] is None


def test_a_file_more_is_a_demonstration_more(added):
    added(
        "two_and_two", '"""Two and two are four."""\ndef prove(story):\n    story.claim("a sum", 2 + 2, 2 + 2 == 4)\n'
    )
    result = CliRunner().invoke(app, ["prove", "two-and-two"])
    assert result.exit_code == 0
    assert "Two and two are four" in result.output
    assert "a sum: 4" in result.output
    assert "two-and-two holds" in result.output


@pytest.mark.parametrize(
    "body",
    [
        'story.claim("a sum", 2 + 2, 2 + 2 == 5)',
        'story.did("nothing")',
        'from stakan.core.domain.errors import VenueUnavailable; raise VenueUnavailable("no exchange")',
    ],
    ids=["false", "nothing claimed", "ended early"],
)
def test_what_does_not_hold_is_told_with_exit_code_1(added, body):
    added("broken", f'"""It is so."""\ndef prove(story):\n    {body}\n')
    result = CliRunner().invoke(app, ["prove", "broken"])
    assert result.exit_code == 1
    assert "broken fails" in result.output
