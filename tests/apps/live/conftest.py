"""What tests over real sockets need."""

import pytest

from stakan.apps.exchange.accounts import AccountConfig


@pytest.fixture
def keys(monkeypatch):
    """Those of the local exchange's account."""
    account = AccountConfig()
    monkeypatch.setenv("BYBIT_API_KEY", account.keys[0].key)
    monkeypatch.setenv("BYBIT_API_SECRET", account.keys[0].secret)
