"""What all tests share: where the recorded market data is, and how to do without it."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from stakan.adapters.compiling import take_turns
from stakan.apps.backtest import warm_up
from stakan.apps.config import load_settings

settings.register_profile("default", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")
# Workers of a parallel run share a cache.
take_turns()


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded market data; skips by name where STAKAN_DATA is not set."""
    folder = os.environ.get("STAKAN_DATA")
    if not folder:
        pytest.skip("STAKAN_DATA is not set: no recorded market data")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.fail(f"STAKAN_DATA names {path}, which is not a folder")
    return path


@pytest.fixture(scope="session")
def compiled():
    """Kernels are compiled before anything waits for an answer: for all that lives over sockets."""
    warm_up(load_settings(None, (), {}))
