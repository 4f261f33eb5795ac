"""A real Redis, and a part of it for each test."""

import os
import secrets

import pytest
import redis

URL = os.environ.get("STAKAN_TEST_REDIS", "redis://127.0.0.1:6379/0")


@pytest.fixture
def prefix():
    """Of keys that nobody else uses; what is left under it goes. Skips without Redis, and fails where CI demands it."""
    client = redis.Redis.from_url(URL, socket_connect_timeout=2)
    try:
        client.ping()
    except redis.RedisError as error:
        client.close()
        if os.environ.get("CI") == "true":
            pytest.fail(f"there is no Redis at {URL}: {error}")
        pytest.skip(f"there is no Redis at {URL}")
    name = f"{{stakan-test-{secrets.token_hex(4)}}}:"
    yield name
    for key in client.scan_iter(f"{name}*"):
        client.delete(key)
    client.close()
