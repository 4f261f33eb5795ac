"""`stakan bench`: what it cannot work with is said in one line."""

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
