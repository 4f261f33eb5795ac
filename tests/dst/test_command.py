"""`stakan dst`: totals for people and programs, and an exit code that says whether all seeds held."""

import json
import subprocess

import pytest
from typer.testing import CliRunner

from stakan.apps.cli.main import app
from stakan.apps.dst import kept
from stakan.apps.dst.plan import Plan
from stakan.apps.processes import STAKAN


def a_run(*words):
    return CliRunner().invoke(app, ["dst", "--jobs", "1", *words])


def test_totals_say_what_was_simulated(tmp_path):
    result = a_run("--seeds", "1", "--first-seed", "4", "--json", "--kept", str(tmp_path / "none.toml"))
    assert result.exit_code == 0, result.output
    totals = json.loads(result.stdout)
    assert (totals["seeds"], totals["passed"], totals["failed"]) == (1, 1, [])
    assert totals["simulated_s"] >= 60
    assert totals["orders"] >= 10
    assert sum(totals["faults"].values()) == totals["fault_count"] >= 5
    assert totals["restarts"] >= totals["kills"] > 0


def test_kept_plans_run_first_and_are_shown(tmp_path):
    path = tmp_path / "seeds.toml"
    kept.add(path, kept.KeptPlan(invariant=1, what="it once was naked", plan=Plan(seed=1, seconds=6.0)))
    result = a_run("--seeds", "1", "--kept", str(path))
    assert result.exit_code == 0, result.output
    assert "2, 2 without a breach" in result.stdout


def test_a_run_that_is_ended_says_what_it_has_seen(tmp_path):
    words = [*STAKAN, "dst", "--seeds", "100000", "--jobs", "2", "--json", "--kept", str(tmp_path / "none.toml")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(20)
    process.terminate()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert json.loads(output)["failed"] == []


def test_a_file_of_plans_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "seeds.toml"
    path.write_text("kept = 1")
    result = a_run("--kept", str(path))
    assert result.exit_code == 3
    assert "seeds.toml" in result.output.replace("\n", "")


@pytest.mark.parametrize("words", [("--seconds", "10"), ("--seeds", "0")])
def test_less_than_counts_is_refused(words):
    assert a_run(*words).exit_code == 2
