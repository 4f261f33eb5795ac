"""What tests over real sockets need."""

import pytest
from tests.apps.live.sockets import eagerly

from stakan.apps.backtest import warm_up
from stakan.apps.config import load_settings
from stakan.apps.exchange.accounts import AccountConfig


@pytest.fixture(scope="session")
def compiled():
    """Kernels are compiled before anything waits for an answer."""
    warm_up(load_settings(None, eagerly(), {}))


@pytest.fixture
def keys(monkeypatch):
    """Those of the local exchange's account."""
    account = AccountConfig()
    monkeypatch.setenv("BYBIT_API_KEY", account.keys[0].key)
    monkeypatch.setenv("BYBIT_API_SECRET", account.keys[0].secret)
