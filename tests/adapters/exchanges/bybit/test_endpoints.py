"""Addresses of the environments, as the protocol reference states them."""

import pytest

from stakan.adapters.exchanges.bybit.endpoints import environment
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.instrument import Category


def test_mainnet():
    mainnet = environment("mainnet")
    assert mainnet.venue == "bybit"
    assert mainnet.rest == "https://api.bybit.com"
    assert mainnet.public_socket(Category.LINEAR) == "wss://stream.bybit.com/v5/public/linear"
    assert mainnet.private == "wss://stream.bybit.com/v5/private"
    assert mainnet.trade == "wss://stream.bybit.com/v5/trade"


def test_testnet():
    testnet = environment("testnet")
    assert testnet.venue == "bybit-testnet"
    assert testnet.rest == "https://api-testnet.bybit.com"
    assert testnet.public_socket(Category.LINEAR) == "wss://stream-testnet.bybit.com/v5/public/linear"


def test_demo_sees_the_market_of_mainnet_and_has_no_trade_socket():
    demo = environment("demo")
    assert demo.venue == "bybit-demo"
    assert demo.rest == "https://api-demo.bybit.com"
    assert demo.public == environment("mainnet").public
    assert demo.private == "wss://stream-demo.bybit.com/v5/private"
    assert demo.trade is None


def test_regional_accounts_have_another_domain():
    assert environment("mainnet", host_suffix="bybit.nl").private == "wss://stream.bybit.nl/v5/private"


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/v5/public"),
        ("https://exchange.local/bybit/", "wss://exchange.local/bybit/v5/public"),
    ],
)
def test_local(url: str, public: str):
    local = environment("local", local_url=url)
    assert local.venue == "local"
    assert local.public == public


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused(url: str):
    with pytest.raises(ConfigError, match="local exchange"):
        environment("local", local_url=url)


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="mainnet, testnet, demo or local"):
        environment("paper")
