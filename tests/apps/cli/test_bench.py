"""`stakan bench`: what it cannot work with is said in one line, and processes change no number."""

import json

import pytest
from typer.testing import CliRunner

from stakan.apps.cli.main import app

BOTH = ["bench", "detect"]


@pytest.fixture
def nowhere(monkeypatch):
    monkeypatch.delenv("STAKAN_DATA", raising=False)


def test_without_recorded_data_it_says_where_to_name_it(nowhere):
    ran = CliRunner().invoke(app, BOTH)
    assert ran.exit_code == 2
    assert "--data or STAKAN_DATA" in ran.output


def test_a_folder_without_the_recordings_is_named_with_the_first_that_is_missing(nowhere, tmp_path):
    ran = CliRunner().invoke(app, [*BOTH, "--data", str(tmp_path), "--json"], env={"XDG_CACHE_HOME": str(tmp_path)})
    assert ran.exit_code == 2
    assert "usdm_btcusdt_20230404.dat.gz" in ran.output.replace("\n", "")
    assert not (tmp_path / "stakan").exists()


def test_an_unknown_detector_is_refused_before_anything_runs(nowhere, tmp_path):
    ran = CliRunner().invoke(app, [*BOTH, "--data", str(tmp_path), "--detectors", "spoofyng"])
    assert ran.exit_code == 2
    assert "spoofyng" in ran.output


def test_there_is_no_fourth_tier(nowhere, tmp_path):
    assert CliRunner().invoke(app, [*BOTH, "--data", str(tmp_path), "--tier", "4"]).exit_code == 2


@pytest.mark.slow
@pytest.mark.recorded
def test_processes_say_what_one_says(recorded, tmp_path):
    """They begin without decoded sessions, so that they also write them at the same time.

    Three, because one is busy with the long quiet session until the others have played what is planted.
    """
    words = [*BOTH, "--data", str(recorded), "--episodes", "1", "--tier", "2", "--detectors", "layering"]
    several, one = (judged(*words, "--no-lobster", "--jobs", jobs, cache=tmp_path) for jobs in ("3", "1"))
    assert several["verdict"]["episodes"]
    assert several["verdict"]["rows"][0]["recall"]["of"]
    assert several == one


def judged(*words, cache):
    """What the bench says as JSON, without what it measured."""
    ran = CliRunner().invoke(app, [*words, "--json"], env={"XDG_CACHE_HOME": str(cache)})
    # One episode says nothing about bars: both verdicts are fine.
    assert ran.exit_code in {0, 1}, ran.output
    found = without_costs(json.loads(ran.stdout))
    found["verdict"].pop("holds")
    return found


def without_costs(value):
    if isinstance(value, list):
        return [without_costs(one) for one in value if not (isinstance(one, dict) and "cost" in one.get("what", ""))]
    if isinstance(value, dict):
        return {name: without_costs(one) for name, one in value.items() if "cost" not in name}
    return value
