"""A rate limiter whose budgets are shared with other processes of the same account and address, where Redis is configured."""

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from stakan.adapters.exchanges.bybit.limits import RateLimiter, Window
from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.adapters.redis.budget import SharedBudget, Sharing
from stakan.apps.secrets import redis_password
from stakan.apps.settings import Settings

_PREFIX = "{stakan}:budget"
"""The braces keep all budgets in one slot of a cluster: one script renews them together."""
_PATIENCE_S = 0.5
_NAMED_BY = 8
"""Bytes of the hash that stands for an API key."""


@asynccontextmanager
async def shared_budget(
    settings: Settings,
    limiter: RateLimiter,
    keys: Keys | None,
    clock: Callable[[], int],
    say: Callable[[str], None],
    machine: str = "",
) -> AsyncIterator[SharedBudget | None]:
    """Hold the limiter to what this process has leased, while the block runs; nothing where no Redis is configured.

    Processes with the same API key share the account's budgets, those on one machine the address's. Never waits for
    Redis but at its end, half a second at most. `machine` stands for the address; by default it is the host's name.
    Raises ConfigError for settings that cannot work.
    """
    machine = machine or socket.gethostname()
    if not settings.redis.url:
        yield None
        return
    client = Redis.from_url(
        settings.redis.url,
        password=redis_password(),
        socket_timeout=_PATIENCE_S,
        socket_connect_timeout=_PATIENCE_S,
    )
    sharing = Sharing(name=f"{machine}-{os.getpid()}", processes=settings.redis.processes)
    budget = SharedBudget(client, budget_keys(settings, limiter, keys, machine), sharing, clock=clock, say=say)
    task = asyncio.create_task(budget.run())
    try:
        yield budget
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await budget.leave()
        await client.aclose()


def budget_keys(settings: Settings, limiter: RateLimiter, keys: Keys | None, machine: str) -> dict[str, Window]:
    """What each budget of the limiter is called in Redis, so that those who share one meet."""
    place = f"{_PREFIX}:{settings.venue.environment}"
    named = {f"{place}:address {machine}:{name}": one for name, one in limiter.of_address.items()}
    if keys is not None:
        account = hashlib.blake2b(keys.key.encode(), digest_size=_NAMED_BY).hexdigest()
        named |= {f"{place}:account {account}:{name}": one for name, one in limiter.of_account.items()}
    return named
