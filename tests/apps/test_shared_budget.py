"""Budgets of a limiter are shared where Redis is configured, and nowhere else; no secret gets there."""

import asyncio
import time

import pytest
import redis
import redis.asyncio
from tests.adapters.redis.conftest import URL, prefix  # noqa: F401 - a fixture: skips where there is no Redis

from stakan.adapters.exchanges.bybit.limits import Group, RateLimiter
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.apps.config import load_settings, to_toml
from stakan.apps.secrets import redis_password
from stakan.apps.shared_budget import budget_keys, shared_budget
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import SECOND

KEYS = Keys("an-api-key-of-ours", "a-secret-of-ours")


def settings(*more):
    return load_settings(None, ["venue.environment=local", *more], {})


def allowed(limiter, group):
    """How many requests leave at once."""
    count, now = 0, time.time_ns()
    while limiter.acquire(group, now, SECOND, over_http=False) == 0:
        count += 1
    return count


async def opened(wanted, limiter, said):
    async with shared_budget(wanted, limiter, KEYS, time.time_ns, said.append) as budget:
        await asyncio.sleep(0.1)
        return budget, allowed(limiter, Group.CREATE)


def test_nothing_is_shared_by_default():
    budget, found = asyncio.run(opened(settings(), RateLimiter(), said := []))
    assert (budget, found, said) == (None, 8, [])


@pytest.mark.usefixtures("prefix")
def test_a_limiter_is_held_to_what_its_process_has():
    name = f"test-{time.time_ns()}"
    wanted = settings(f"redis.url={URL}", "redis.processes=2")
    keys = Keys(name, "a-secret-of-ours")

    async def scenario():
        limiter, said = RateLimiter(), []
        async with shared_budget(wanted, limiter, keys, time.time_ns, said.append, name) as budget:
            await asyncio.sleep(0.2)
            assert budget.is_connected
            assert 2 <= allowed(limiter, Group.CREATE) <= 4
            client = redis.asyncio.Redis.from_url(URL)
            held = [key.decode() async for key in client.scan_iter(f"*{name}*")]
            assert any(":queries" in key for key in held)
            # Of the account there is a hash, and of the secret nothing.
            assert not [key for key in held if "secret" in key]
            await client.aclose()
        assert len(said) == 1
        return budget_keys(wanted, limiter, keys, name)

    found = asyncio.run(scenario())
    with redis.Redis.from_url(URL) as client:
        assert client.delete(*found) == len(found)


def test_without_redis_a_bot_trades_with_its_part():
    wanted = settings("redis.url=redis://127.0.0.1:9/0", "redis.processes=4")
    budget, found = asyncio.run(opened(wanted, RateLimiter(), said := []))
    assert not budget.is_connected
    assert found == 1
    assert "does not answer" in said[0]


def test_accounts_and_environments_do_not_share():
    limiter = RateLimiter()
    names = [
        set(budget_keys(settings(*more), limiter, keys, "here"))
        for more, keys in [((), KEYS), ((), Keys("another-key-of-ours", "x")), (("venue.environment=testnet",), KEYS)]
    ]
    common = names[0] & names[1]
    assert common
    assert all("address" in name for name in common)
    assert not names[0] & names[2]
    assert all("account" not in name for name in budget_keys(settings(), limiter, None, "here"))


@pytest.mark.parametrize("url", ["redis://:hidden@host:6379/0", "http://host", "host:6379"])
def test_an_address_that_holds_a_password_or_is_none_is_refused(url):
    with pytest.raises(ConfigError, match=r"password out|redis://host") as refused:
        settings(f"redis.url={url}")
    assert "hidden" not in str(refused.value)


def test_the_password_is_read_from_environment_or_file_and_never_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("REDIS_PASSWORD", raising=False)
    file = tmp_path / ".env"
    assert redis_password(file) is None
    file.write_text("REDIS_PASSWORD=hidden-in-a-file\n")
    assert redis_password(file) == "hidden-in-a-file"
    monkeypatch.setenv("REDIS_PASSWORD", "hidden-elsewhere")
    assert redis_password(file) == "hidden-elsewhere"
    assert "hidden" not in to_toml(settings("redis.url=redis://127.0.0.1:6379/0"))
