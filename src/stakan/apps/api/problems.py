"""Errors of the API as problem documents (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from stakan.core.domain.errors import OutcomeUnknown, StorageError, VenueUnavailable

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """Why a request was not served; becomes the answer."""

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """`kind` is a short name with dashes that programs compare, `detail` a sentence for people."""
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = headers

    def response(self, **more: Any) -> Response:
        """The document."""
        body = {
            "type": f"urn:stakan:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **more,
        }
        return Response(msgspec.json.encode(body), self.status, dict(self.headers or {}), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of an application a problem document."""
    app.exception_handler(Problem)(_problem)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(VenueUnavailable)(_unreachable)
    app.exception_handler(OutcomeUnknown)(_unanswered)
    app.exception_handler(StorageError)(_unwritten)
    app.exception_handler(Exception)(_bug)


async def _problem(_: Request, error: Problem) -> Response:
    return error.response()


async def _http(_: Request, error: HTTPException) -> Response:
    return Problem(error.status_code, "http", str(error.detail), error.headers).response()


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    # What was sent stays out of the answer: it may hold a password.
    wrong = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()]
    text = "; ".join(f"{one['where']}: {one['what']}" for one in wrong)
    return Problem(422, "invalid-request", text).response(errors=wrong)


async def _unreachable(_: Request, error: VenueUnavailable) -> Response:
    return Problem(503, "bot-unreachable", str(error)).response()


async def _unanswered(_: Request, error: OutcomeUnknown) -> Response:
    return Problem(504, "outcome-unknown", str(error)).response()


async def _unwritten(_: Request, error: StorageError) -> Response:
    return Problem(500, "storage", str(error)).response()


async def _bug(_: Request, __: Exception) -> Response:
    return Problem(500, "internal", "a fault in the console; its log has the details").response()
