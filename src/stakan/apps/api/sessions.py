"""Logins: short access tokens and rotating refresh tokens, both JWT (RFC 7519) signed with a key of the state folder.

A login is a family of tokens. Each refresh makes a new pair and voids the refresh token it was asked with; one that
comes a second time was stolen by somebody, so the whole family ends (RFC 9700, section 4.14.2). What is alive is
remembered in a private file, so a restart of the console logs nobody out and forgets no revocation.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import msgspec

from stakan.apps.api.private_files import read_private, write_private
from stakan.core.domain.errors import StorageError

KEY_FILE = "console.key"
SESSIONS_FILE = "sessions.json"
ACCESS_S = 600
_ISSUER = "stakan"
_ALGORITHM = "HS256"
_MAX_FAMILIES = 1000


class SessionEnded(Exception):
    """A token that opens nothing: damaged, expired, revoked or used before."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One login of one user."""

    user: str
    family: str


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a login or a refresh gives."""

    access_token: str
    refresh_token: str
    expires_in: int
    """Seconds of the access token."""
    refresh_expires_in: int
    """Seconds left of the login."""
    token_type: str = "bearer"  # noqa: S105 - the kind of token, not one


class _Family(msgspec.Struct, frozen=True, kw_only=True):
    user: str
    current: str
    """The only refresh token that still counts, by its id."""
    expires: int
    """Seconds since 1970."""


class Sessions:
    """All logins of one state folder. `clock` gives seconds since 1970, `lifetime_s` is how long a login lasts."""

    def __init__(self, folder: Path, lifetime_s: int, clock: Callable[[], float]) -> None:
        self._path = folder / SESSIONS_FILE
        self._key = _key(folder / KEY_FILE)
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._families = self._read()

    def open(self, user: str) -> Tokens:
        """Log a user in who has proven who they are."""
        now = int(self._clock())
        fresh = _Family(user=user, current=secrets.token_urlsafe(16), expires=now + self._lifetime_s)
        alive = {name: family for name, family in self._families.items() if family.expires > now}
        newest = dict(list(alive.items())[-(_MAX_FAMILIES - 1) :])
        return self._tokens(secrets.token_urlsafe(16), fresh, newest)

    def verify(self, access_token: str) -> Session:
        """Whose access token this is; raises SessionEnded."""
        claims = self._claims(access_token, "access")
        session = Session(user=claims["sub"], family=claims["family"])
        if not self.is_alive(session):
            raise SessionEnded("the session has ended")
        return session

    def refresh(self, refresh_token: str) -> Tokens:
        """A new pair for a refresh token, which is void from then on; raises SessionEnded, for a reused one for all."""
        claims = self._claims(refresh_token, "refresh")
        family = self._families.get(claims["family"])
        if family is None:
            raise SessionEnded("the session has ended")
        if not secrets.compare_digest(family.current, claims["jti"]):
            self.close(claims["family"])
            raise SessionEnded("this refresh token was used before: the session is closed")
        renewed = msgspec.structs.replace(family, current=secrets.token_urlsafe(16))
        return self._tokens(claims["family"], renewed, self._families)

    def is_alive(self, session: Session) -> bool:
        """Whether a login has neither ended nor been closed."""
        family = self._families.get(session.family)
        return family is not None and family.user == session.user and family.expires > self._clock()

    def close(self, family: str) -> None:
        """End one login."""
        self._write({name: value for name, value in self._families.items() if name != family})

    def close_all(self, user: str) -> None:
        """End all logins of a user."""
        self._write({name: value for name, value in self._families.items() if value.user != user})

    def _tokens(self, name: str, family: _Family, others: dict[str, _Family]) -> Tokens:
        self._write({**others, name: family})
        now = int(self._clock())
        left = family.expires - now
        lasts = min(ACCESS_S, left)
        claims = {"iss": _ISSUER, "sub": family.user, "family": name, "iat": now}
        access = {**claims, "use": "access", "exp": now + lasts}
        refresh = {**claims, "use": "refresh", "exp": family.expires, "jti": family.current}
        return Tokens(
            access_token=jwt.encode(access, self._key, _ALGORITHM),
            refresh_token=jwt.encode(refresh, self._key, _ALGORITHM),
            expires_in=lasts,
            refresh_expires_in=left,
        )

    def _claims(self, token: str, use: str) -> dict[str, Any]:
        required = ["exp", "iat", "sub", "family", "use", *(("jti",) if use == "refresh" else ())]
        # The library would look at the system's clock; ours decides below.
        options: Any = {"require": required, "verify_exp": False, "verify_iat": False}
        try:
            claims = jwt.decode(token, self._key, [_ALGORITHM], options=options, issuer=_ISSUER)
        except jwt.InvalidTokenError as error:
            raise SessionEnded("the token is not one of ours") from error
        if claims["use"] != use:
            raise SessionEnded(f"this is no {use} token")
        if claims["exp"] <= self._clock():
            raise SessionEnded("the token has expired")
        return claims

    def _write(self, families: dict[str, _Family]) -> None:
        write_private(self._path, msgspec.json.encode(families))
        self._families = families

    def _read(self) -> dict[str, _Family]:
        data = read_private(self._path)
        if data is None:
            return {}
        try:
            return msgspec.json.decode(data, type=dict[str, _Family])
        except msgspec.MsgspecError as error:
            raise StorageError(f"{self._path} is damaged: {error}; without it everybody logs in again") from error


def _key(path: Path) -> bytes:
    key = read_private(path)
    if key is None:
        key = secrets.token_bytes(32)
        write_private(path, key)
    if len(key) != 32:
        raise StorageError(f"{path} is damaged: delete it, everybody logs in again")
    return key
