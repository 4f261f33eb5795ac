"""Answers as JSON, and what the OpenAPI document says about them."""

from typing import Any

import msgspec
from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

_REF = "#/components/schemas/{name}"
_KINDS: list[Any] = []


def answer(value: Any, status: int = 200) -> Response:
    """A value as JSON; nothing of it may be cached."""
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")


def answers(kind: Any) -> dict[str, Any]:
    """Arguments of a route that answers with `kind`."""
    _KINDS.append(kind)
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    content = {"application/json": {"schema": schema}}
    return {"response_class": Response, "responses": {200: {"description": "Done", "content": content}}}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document with the schemas of all answers."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        _, schemas = msgspec.json.schema_components(_KINDS, ref_template=_REF)
        found.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
        app.openapi_schema = found
    return app.openapi_schema
