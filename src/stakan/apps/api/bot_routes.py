"""`/bot`: how it is, and what an operator may ask of it."""

from collections.abc import Awaitable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from stakan.apps.api import shown
from stakan.apps.api.access import CurrentContext, Operator, Viewer
from stakan.apps.api.answers import answer, answers
from stakan.apps.api.asking import KeyReused
from stakan.apps.api.problems import Problem
from stakan.apps.projection import Answer
from stakan.core.domain.units import MILLISECOND

router = APIRouter(prefix="/bot", tags=["bot"])


class FlattenBody(BaseModel):
    """What to flatten; nothing means everything."""

    model_config = ConfigDict(extra="forbid")

    instrument: str | None = Field(None, description="Id or unambiguous symbol")


class HaltBody(BaseModel):
    """Why trading is halted."""

    model_config = ConfigDict(extra="forbid")

    why: str = Field("operator", min_length=1, max_length=200)


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The request has entered the bot; what comes of it shows in its status."""

    request_id: str


IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$", description="Repeating it repeats nothing"),
]


@router.get("/status", **answers(shown.Status))
async def status(_: Viewer, context: CurrentContext) -> Response:
    """How the bot is, and how old this picture is."""
    return answer(shown.status(context.link))


@router.get("/config", **answers(shown.BotConfig))
async def config(_: Viewer, context: CurrentContext) -> Response:
    """What the bot was started with."""
    hello = context.link.model.hello
    if hello is None:
        raise Problem(503, "bot-unreachable", f"no bot was seen yet: {context.link.problem}")
    return answer(
        shown.BotConfig(
            version=hello.version,
            mode=hello.mode,
            market=hello.market,
            is_synthetic=hello.is_synthetic,
            account=hello.account,
            started=shown.milliseconds(hello.started_ts),
            strategies=hello.strategies,
            pairs=[shown.pair(instrument) for instrument in hello.instruments],
            candle_interval_ms=hello.candle_interval_ns // MILLISECOND,
            run_folder=hello.run_folder,
        )
    )


@router.post("/pause", **answers(Done))
async def pause(who: Operator, context: CurrentContext, idempotency_key: IdempotencyKey = None) -> Response:
    """Open nothing new."""
    return await _done(context.asking.pause(who.user.name, idempotency_key))


@router.post("/resume", **answers(Done))
async def resume(who: Operator, context: CurrentContext, idempotency_key: IdempotencyKey = None) -> Response:
    """End a pause."""
    return await _done(context.asking.resume(who.user.name, idempotency_key))


@router.post("/flatten", **answers(Done))
async def flatten(
    who: Operator, context: CurrentContext, body: FlattenBody | None = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Cancel entries and close positions: of one instrument, or all."""
    name = body.instrument if body else None
    instrument = context.instrument(name).id if name is not None else None
    return await _done(context.asking.flatten(who.user.name, instrument, idempotency_key))


@router.post("/halt", **answers(Done))
async def halt(
    who: Operator, context: CurrentContext, body: HaltBody | None = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Flatten all and open nothing until released."""
    return await _done(context.asking.halt(who.user.name, (body or HaltBody()).why, idempotency_key))


@router.post("/release", **answers(Done))
async def release(who: Operator, context: CurrentContext, idempotency_key: IdempotencyKey = None) -> Response:
    """End a halt."""
    return await _done(context.asking.release(who.user.name, idempotency_key))


async def _done(asked: Awaitable[Answer]) -> Response:
    try:
        given = await asked
    except KeyReused as error:
        raise Problem(409, "key-reused", str(error)) from error
    if not given.is_accepted:
        raise Problem(409, "refused", given.why or "the bot has refused")
    return answer(Done(request_id=given.request_id))
