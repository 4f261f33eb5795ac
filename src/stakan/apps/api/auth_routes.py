"""`/auth`: log in and out, refresh, change the password."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from stakan.apps.api.access import (
    REFRESH_COOKIE,
    CurrentContext,
    Operator,
    Viewer,
    clear_cookies,
    set_cookies,
)
from stakan.apps.api.answers import answer, answers
from stakan.apps.api.problems import Problem
from stakan.apps.api.sessions import SessionEnded, Tokens
from stakan.apps.api.users import MAX_PASSWORD, Role, password_problem
from stakan.core.domain.errors import ConfigError

router = APIRouter(prefix="/auth", tags=["auth"])


class Body(BaseModel):
    """Root of what is sent; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Credentials(Body):
    """Who wants in."""

    user: str = Field(min_length=1, max_length=64)
    password: SecretStr = Field(max_length=MAX_PASSWORD)


class Refresh(Body):
    """The refresh token of a client that keeps no cookies."""

    refresh_token: str = Field(max_length=4096)


class NewPassword(Body):
    """Old and new."""

    password: SecretStr = Field(max_length=MAX_PASSWORD)
    new_password: SecretStr


class NewUser(Body):
    """Somebody who may use API and console from now on."""

    user: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.@-]+$")
    role: Role
    password: SecretStr


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Whose session it is."""

    user: str
    role: str


@router.post("/login", **answers(Tokens))
async def login(request: Request, body: Credentials, context: CurrentContext) -> Response:
    """Log in; the tokens are in the answer and, for browsers, in cookies that scripts cannot read."""
    address = f"address:{request.client.host if request.client else ''}"
    name = f"user:{body.user}"
    wait = context.throttle.wait_s(name, address)
    if wait > 0:
        headers = {"retry-after": str(int(wait) + 1)}
        raise Problem(429, "too-many-attempts", f"too many attempts: wait {int(wait) + 1} s", headers)
    context.throttle.attempt(name, address)
    user = await context.users.check(body.user, body.password.get_secret_value())
    if user is None:
        raise Problem(401, "wrong-credentials", "user or password is wrong")
    context.throttle.succeeded(name, address)
    return _given(request, context.sessions.open(user.name))


@router.post("/refresh", **answers(Tokens))
async def refresh(request: Request, context: CurrentContext, body: Refresh | None = None) -> Response:
    """A new pair of tokens; the refresh token that was used is void, and using it again ends the session."""
    token = body.refresh_token if body else request.cookies.get(REFRESH_COOKIE, "")
    try:
        return _given(request, context.sessions.refresh(token))
    except SessionEnded as error:
        raise Problem(401, "not-logged-in", str(error), {"www-authenticate": "Bearer"}) from error


@router.post("/logout", status_code=204)
async def logout(identity: Viewer, context: CurrentContext) -> Response:
    """End this session."""
    context.sessions.close(identity.session.family)
    response = Response(status_code=204)
    clear_cookies(response)
    return response


@router.post("/change-password", **answers(Tokens))
async def change_password(request: Request, body: NewPassword, identity: Viewer, context: CurrentContext) -> Response:
    """A new password; every session of the user ends, and this one begins anew."""
    name = f"user:{identity.user.name}"
    wait = context.throttle.wait_s(name)
    if wait > 0:
        raise Problem(429, "too-many-attempts", f"too many attempts: wait {int(wait) + 1} s")
    context.throttle.attempt(name)
    if await context.users.check(identity.user.name, body.password.get_secret_value()) is None:
        raise Problem(403, "wrong-credentials", "the old password is wrong")
    context.throttle.succeeded(name, "")
    fresh = body.new_password.get_secret_value()
    if problem := password_problem(fresh):
        raise Problem(422, "weak-password", f"the new password {problem}")
    await context.users.set_password(identity.user, fresh)
    context.sessions.close_all(identity.user.name)
    return _given(request, context.sessions.open(identity.user.name))


@router.get("/verify", **answers(Who))
async def verify(identity: Viewer) -> Response:
    """Who is logged in."""
    return answer(Who(user=identity.user.name, role=identity.user.role))


@router.get("/users", **answers(list[Who]))
async def users(_: Operator, context: CurrentContext) -> Response:
    """Who may use API and console."""
    return answer([Who(user=user.name, role=user.role) for user in context.users.all()])


@router.post("/users", **answers(Who))
async def add_user(body: NewUser, _: Operator, context: CurrentContext) -> Response:
    """Add a user."""
    if context.users.get(body.user) is not None:
        raise Problem(409, "user-exists", f"there is a user {body.user} already")
    if problem := password_problem(body.password.get_secret_value()):
        raise Problem(422, "weak-password", f"the password {problem}")
    await asyncio.to_thread(context.users.add, body.user, body.role, body.password.get_secret_value())
    return answer(Who(user=body.user, role=body.role))


@router.delete("/users/{name}", status_code=204)
async def remove_user(name: str, _: Operator, context: CurrentContext) -> Response:
    """Take a user away, and every session of theirs; the last operator stays."""
    if context.users.get(name) is None:
        raise Problem(404, "unknown-user", f"there is no user {name}")
    try:
        context.users.remove(name)
    except ConfigError as error:
        raise Problem(409, "last-operator", str(error)) from error
    context.sessions.close_all(name)
    return Response(status_code=204)


def _given(request: Request, tokens: Tokens) -> Response:
    response = answer(tokens)
    set_cookies(response, tokens, is_secure=request.url.scheme == "https")
    return response
