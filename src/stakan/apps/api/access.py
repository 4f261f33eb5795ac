"""Who a request comes from, and whether it may: sessions by cookie or bearer token, origins, roles.

A browser's session is a cookie that scripts cannot read and other sites cannot send. Whatever changes something, and
every socket, must besides come from a page of this server (its `Origin`), or from an origin of the configuration.
"""

import re
import secrets
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from fastapi import Depends, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from stakan.apps.api.asking import Asking
from stakan.apps.api.link import Link
from stakan.apps.api.problems import Problem
from stakan.apps.api.sessions import Session, SessionEnded, Sessions, Tokens
from stakan.apps.api.throttle import Throttle
from stakan.apps.api.users import Role, User, Users
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.instrument import Instrument

CORRELATION_HEADER = "x-correlation-id"
_CORRELATION = re.compile(r"[\w.:-]{1,64}", re.ASCII)
ACCESS_COOKIE = "stakan_access"
REFRESH_COOKIE = "stakan_refresh"
CONSOLE = "/console"
LOGIN = "/login"
_OPEN_UNDER_CONSOLE = (f"{CONSOLE}/static/", f"{CONSOLE}/_nicegui/")
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_SOCKET_REFUSED = 4401
_POLICY = (
    # NiceGUI compiles its templates in the browser: without eval there is no page.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'; object-src 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


class Context:
    """What the routes of one console share."""

    def __init__(
        self,
        *,
        link: Link,
        users: Users,
        sessions: Sessions,
        throttle: Throttle,
        asking: Asking,
        origins: tuple[str, ...],
        clock: Callable[[], int],
    ) -> None:
        self.link = link
        self.users = users
        self.sessions = sessions
        self.throttle = throttle
        self.asking = asking
        self.origins = origins
        self.clock = clock

    def instrument(self, name: str) -> Instrument:
        """The instrument of an id or of an unambiguous symbol; raises Problem 404 or 409."""
        known = self.link.model.instruments
        if name in known:
            return known[InstrumentId(name)]
        found = [one for key, one in known.items() if split_instrument_id(key)[2].upper() == name.upper()]
        if not found:
            raise Problem(
                404, "unknown-instrument", f"the bot does not look at {name!r}; /data/pairs lists what it does"
            )
        if len(found) > 1:
            raise Problem(409, "ambiguous-instrument", f"{name!r} can be {', '.join(one.id for one in found)}")
        return found[0]

    def comes_from_us(self, connection: HTTPConnection) -> bool:
        """Whether a request was made by a page of this server, of an allowed origin, or by no browser at all."""
        origin = connection.headers.get("origin")
        return origin is None or origin in self.origins or _is_own(origin, connection.headers)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    session: Session
    user: User


def _is_own(origin: str, headers: Headers) -> bool:
    return origin != "null" and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def context_of(connection: HTTPConnection) -> Context:
    """The context of the application that serves a request."""
    context: Context = connection.app.state.context
    return context


def identify(connection: HTTPConnection, context: Context) -> Identity:
    """Who asks; raises Problem 401 where nobody we know, 403 where a cookie came along from elsewhere."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    is_cookie = scheme.lower() != "bearer"
    if is_cookie:
        token = connection.cookies.get(ACCESS_COOKIE, "")
    try:
        session = context.sessions.verify(token)
    except SessionEnded as error:
        raise Problem(401, "not-logged-in", str(error), {"www-authenticate": "Bearer"}) from error
    user = context.users.get(session.user)
    if user is None:
        raise Problem(401, "not-logged-in", "this user is no more", {"www-authenticate": "Bearer"})
    changes = connection.scope["type"] == "http" and connection.scope["method"] not in _SAFE
    if is_cookie and changes and "origin" not in connection.headers:
        raise Problem(403, "foreign-origin", "a request by cookie must name its origin")
    return Identity(session=session, user=user)


CurrentContext = Annotated[Context, Depends(context_of)]


def _viewer(connection: HTTPConnection, context: CurrentContext) -> Identity:
    return identify(connection, context)


Viewer = Annotated[Identity, Depends(_viewer)]


def _operator(identity: Viewer) -> Identity:
    if identity.user.role is not Role.OPERATOR:
        raise Problem(403, "operators-only", "viewers look, operators act")
    return identity


Operator = Annotated[Identity, Depends(_operator)]


def set_cookies(response: Response, tokens: Tokens, *, is_secure: bool) -> None:
    """Give a browser its session."""
    for name, value, age, path in (
        (ACCESS_COOKIE, tokens.access_token, tokens.expires_in, "/"),
        (REFRESH_COOKIE, tokens.refresh_token, tokens.refresh_expires_in, "/auth"),
    ):
        response.set_cookie(name, value, max_age=age, path=path, secure=is_secure, httponly=True, samesite="strict")


def clear_cookies(response: Response) -> None:
    """Take a browser's session away."""
    response.delete_cookie(ACCESS_COOKIE, path="/", httponly=True, samesite="strict")
    response.delete_cookie(REFRESH_COOKIE, path="/auth", httponly=True, samesite="strict")


class Gate:
    """In front of everything, the console's own sockets included: origins, sessions of pages, headers of answers."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, socket or life cycle."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        correlation = correlation_of(connection.headers)
        with bound_contextvars(correlation=correlation):
            refusal = self._refusal(connection)
            if refusal is None:
                await self._app(scope, receive, _with_headers(send, correlation))
            elif scope["type"] == "http":
                await refusal(scope, receive, _with_headers(send, correlation))
            else:
                await send({"type": "websocket.close", "code": _SOCKET_REFUSED, "reason": "not allowed"})

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        scope = connection.scope
        is_socket = scope["type"] == "websocket"
        if (is_socket or scope["method"] not in _SAFE) and not self._context.comes_from_us(connection):
            return Problem(403, "foreign-origin", "this request comes from another site").response()
        path: str = scope["path"]
        is_guarded = path == CONSOLE or (path.startswith(f"{CONSOLE}/") and not path.startswith(_OPEN_UNDER_CONSOLE))
        if not is_guarded:
            return None
        try:
            identify(connection, self._context)
        except Problem as problem:
            is_page = "text/html" in connection.headers.get("accept", "")
            return RedirectResponse(LOGIN, 303) if is_page else problem.response()
        return None


def correlation_of(headers: Headers) -> str:
    """What all log lines of a request have in common: the id that it brings along, or one of its own."""
    given = headers.get(CORRELATION_HEADER, "")
    return given if _CORRELATION.fullmatch(given) else f"api-{secrets.token_hex(8)}"


def _with_headers(send: Send, correlation: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers[CORRELATION_HEADER] = correlation
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
