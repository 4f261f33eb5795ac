"""An API with a fake bot behind it, users whose hashes are cheap, and a clock that tests move."""

import asyncio
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from tests.apps.console.fake_bot import RunningBot

from stakan.apps.api.access import Context
from stakan.apps.api.app import build_api
from stakan.apps.api.asking import Asking
from stakan.apps.api.link import Link
from stakan.apps.api.model import ReadModel
from stakan.apps.api.sessions import Sessions
from stakan.apps.api.throttle import Throttle
from stakan.apps.api.users import Role, Users

with warnings.catch_warnings():
    # It says at import that it would rather have a client of another name.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

CHEAP = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
PASSWORDS = {"operator": "correct horse", "viewer": "battery staple"}
LIFETIME_S = 3600
HOME = "http://testserver"


class World:
    """Everything that a test of the API touches."""

    def __init__(self, folder: Path, origins: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.seconds = 1_800_000_000.0
        users = Users(folder, CHEAP)
        users.add("operator", Role.OPERATOR, PASSWORDS["operator"])
        users.add("viewer", Role.VIEWER, PASSWORDS["viewer"])
        self.link = Link(folder, ReadModel(), time.time_ns)
        self.context = Context(
            link=self.link,
            users=users,
            sessions=Sessions(folder, LIFETIME_S, lambda: self.seconds),
            throttle=Throttle(lambda: self.seconds),
            asking=Asking(self.link, time.time_ns),
            origins=origins,
            clock=time.time_ns,
        )
        self.app = build_api(self.context)
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def login(self, user: str = "operator") -> dict[str, Any]:
        """The tokens of a login; no cookie stays behind."""
        answer = self.client.post("/auth/login", json={"user": user, "password": PASSWORDS[user]})
        assert answer.status_code == 200, answer.text
        self.client.cookies.clear()
        return answer.json()

    def bearer(self, user: str = "operator") -> dict[str, str]:
        return {"authorization": f"Bearer {self.login(user)['access_token']}"}

    def until(self, is_so: Callable[[], object], within: float = 10.0) -> None:
        """Wait for something that another thread brings about."""
        deadline = time.monotonic() + within
        while not is_so():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.01)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An API without a bot."""
    made = World(tmp_path)
    with made.client:
        yield made


@pytest.fixture
def bot(world: World) -> Iterator[RunningBot]:
    """A bot that plays, once the API has its picture."""
    with RunningBot(world.folder) as running:
        world.until(lambda: world.link.state() == "live")
        yield running


def run(work: Any) -> Any:
    """Run a coroutine with a guard of its own."""

    async def guarded() -> Any:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(guarded())
