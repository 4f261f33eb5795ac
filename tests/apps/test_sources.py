"""Where a run's market comes from, and what is refused."""

import gzip

import pytest

from stakan.adapters.instruments import recorded
from stakan.apps.sources import from_files
from stakan.core.domain.errors import ConfigError, DataError

HEAD = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n"
ROW = "1764878935.1234,BTCUSDT,Buy,0.010,92000.10,PlusTick,6d0f7e0e-0000-5000-8000-000000000001,1,0.01,920.0\n"


@pytest.fixture
def trades(tmp_path):
    path = tmp_path / "BTCUSDT2025-12-04.csv.gz"
    path.write_bytes(gzip.compress((HEAD + ROW).encode()))
    return path


def test_files_run_with_what_they_hold(trades):
    source = from_files([trades], recorded())
    assert list(source.instruments) == ["bybit:linear:BTCUSDT"]
    assert sum(len(window) for window in source.history.windows()) == 1


def test_an_instrument_that_the_files_do_not_hold_is_refused_by_name(trades):
    with pytest.raises(DataError, match=r"bybit:linear:ETHUSDT.*bybit:linear:BTCUSDT"):
        from_files([trades], recorded(), ["bybit:linear:ETHUSDT"])


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.csv"):
        from_files([tmp_path / "gone.csv"], recorded())


def test_the_same_choice_is_the_same_data_whether_it_is_named_or_not(trades):
    assert from_files([trades], recorded()).digest == from_files([trades], recorded(), ["bybit:linear:BTCUSDT"]).digest
