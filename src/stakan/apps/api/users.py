"""Who may use API and console: names, roles and Argon2id hashes in one private file of the state folder."""

import asyncio
import secrets
from enum import StrEnum
from pathlib import Path

import msgspec
from pwdlib import PasswordHash

from stakan.apps.api.private_files import read_private, write_private
from stakan.core.domain.errors import ConfigError, StorageError

USERS_FILE = "users.json"
FIRST_USER = "operator"
MIN_PASSWORD = 10
MAX_PASSWORD = 256
"""Characters; hashing takes longer the longer the text is, so somebody else's text is bounded."""
_HASHES_AT_ONCE = 2
"""One hash takes 64 MiB and some tens of milliseconds: more logins wait."""


class Role(StrEnum):
    """Viewers look; operators also ask things of the bot."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One person."""

    name: str
    role: Role
    password_hash: str


class _File(msgspec.Struct, frozen=True):
    users: tuple[User, ...]


class Users:
    """The users of one state folder."""

    def __init__(self, folder: Path, hashing: PasswordHash | None = None) -> None:
        """Read the file; raises StorageError where it is damaged or readable by others."""
        self._path = folder / USERS_FILE
        self._hashing = hashing or PasswordHash.recommended()
        self._turn = asyncio.Semaphore(_HASHES_AT_ONCE)
        self._users = {user.name: user for user in self._read()}
        # Compared with where the name is unknown, so that the time of an answer does not tell which names there are.
        self._nobody = self._hashing.hash(secrets.token_urlsafe())

    def ensure_operator(self, password: str | None) -> str | None:
        """Create the first operator where there is no user yet; returns its password where it had to be made up.

        `password` is what the environment sets for it; raises ConfigError where that is too short.
        """
        if self._users:
            return None
        chosen = password or secrets.token_urlsafe(12)
        self.add(FIRST_USER, Role.OPERATOR, chosen)
        return None if password else chosen

    def get(self, name: str) -> User | None:
        """The user of a name."""
        return self._users.get(name)

    def add(self, name: str, role: Role, password: str) -> None:
        """Add a user, or give one a new role and password; raises ConfigError for an unfit password."""
        if problem := password_problem(password):
            raise ConfigError(f"the password of {name}: {problem}")
        self._put(User(name=name, role=role, password_hash=self._hashing.hash(password)))

    async def check(self, name: str, password: str) -> User | None:
        """The user whose name and password these are, else None; hashes in a thread."""
        user = self._users.get(name)
        known = user.password_hash if user else self._nobody
        async with self._turn:
            is_right, renewed = await asyncio.to_thread(self._hashing.verify_and_update, password, known)
        if user is None or not is_right:
            return None
        if renewed is not None:
            self._put(msgspec.structs.replace(user, password_hash=renewed))
        return user

    async def set_password(self, user: User, password: str) -> None:
        """Give a user a new password that `password_problem` has nothing against."""
        async with self._turn:
            fresh = await asyncio.to_thread(self._hashing.hash, password)
        self._put(msgspec.structs.replace(user, password_hash=fresh))

    def all(self) -> tuple[User, ...]:
        """Everybody."""
        return tuple(self._users.values())

    def remove(self, name: str) -> None:
        """Take a user away; raises ConfigError where nobody could act any more."""
        left = {key: user for key, user in self._users.items() if key != name}
        if not any(user.role is Role.OPERATOR for user in left.values()):
            raise ConfigError(f"{name} is the last operator")
        self._write(left)

    def _put(self, user: User) -> None:
        self._write({**self._users, user.name: user})

    def _write(self, users: dict[str, User]) -> None:
        write_private(self._path, msgspec.json.format(msgspec.json.encode(_File(tuple(users.values()))), indent=2))
        self._users = users

    def _read(self) -> tuple[User, ...]:
        data = read_private(self._path)
        if data is None:
            return ()
        try:
            return msgspec.json.decode(data, type=_File).users
        except msgspec.MsgspecError as error:
            raise StorageError(f"{self._path} is damaged: {error}") from error


def password_problem(password: str) -> str:
    """What is wrong with a new password, for people; empty where nothing is."""
    if len(password) < MIN_PASSWORD:
        return f"needs at least {MIN_PASSWORD} characters"
    if len(password) > MAX_PASSWORD:
        return f"has more than {MAX_PASSWORD} characters"
    return ""
