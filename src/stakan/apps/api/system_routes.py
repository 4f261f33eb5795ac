"""`/`, `/health`, `/readiness`, `/metrics`, `/docs`: for people who look in and for programs that watch."""

import html
import ipaddress
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from stakan import __version__
from stakan.apps.api.access import CONSOLE, CurrentContext, identify
from stakan.apps.api.answers import answer, answers, document
from stakan.apps.api.link import LinkState
from stakan.apps.api.prometheus import exposition

router = APIRouter(tags=["system"])


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this process lives, and what it sees."""

    status: str
    version: str
    bot: str
    """live, late, down."""


@router.get("/", **answers(Health))
async def root(request: Request, context: CurrentContext) -> Response:
    """A short status; browsers are sent to the console."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"{CONSOLE}/", 303)
    return answer(Health(status="ok", version=__version__, bot=context.link.state()))


@router.get("/health", **answers(Health))
async def health(context: CurrentContext) -> Response:
    """Whether this process lives."""
    return answer(Health(status="ok", version=__version__, bot=context.link.state()))


@router.get("/readiness", **answers(Health))
async def readiness(context: CurrentContext) -> Response:
    """200 while the bot's updates arrive, 503 while they do not."""
    state = context.link.state()
    is_ready = state is LinkState.LIVE
    return answer(
        Health(status="ready" if is_ready else "waiting", version=__version__, bot=state), 200 if is_ready else 503
    )


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, context: CurrentContext) -> Response:
    """Prometheus' text format; from this machine without a session, from elsewhere with one."""
    if not _is_local(request):
        identify(request, context)
    return Response(exposition(context.link), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The OpenAPI document as a page that needs nothing from elsewhere."""
    return HTMLResponse(_page(document(request.app)))


def _is_local(request: Request) -> bool:
    if request.client is None or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _page(found: dict[str, Any]) -> str:
    """Every route with its parameters, body and answer."""
    groups: dict[str, list[str]] = {}
    for path, methods in found["paths"].items():
        for method, route in methods.items():
            groups.setdefault((route.get("tags") or ["other"])[0], []).append(_route(method, path, route))
    sections = "".join(f"<h2>{html.escape(name)}</h2>{''.join(routes)}" for name, routes in groups.items())
    schemas = "".join(
        f'<details id="{html.escape(name)}"><summary><code>{html.escape(name)}</code></summary>{_code(schema)}</details>'
        for name, schema in found.get("components", {}).get("schemas", {}).items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>stakan API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{CONSOLE}/static/base.css"><link rel="stylesheet" href="{CONSOLE}/static/docs.css">'
        f'</head><body class="docs"><main><h1>stakan API <small>{html.escape(found["info"]["version"])}</small></h1>'
        f"<p>{html.escape(found['info'].get('description', ''))} The machine-readable document is "
        f'<a href="/openapi.json">openapi.json</a>.</p>{sections}<h2>schemas</h2>{schemas}</main></body></html>'
    )


def _route(method: str, path: str, route: dict[str, Any]) -> str:
    parts = [
        f"<tr><td><code>{html.escape(one['name'])}</code></td><td>{html.escape(one['in'])}</td>"
        f"<td>{html.escape(one.get('description', ''))}</td></tr>"
        for one in route.get("parameters", ())
    ]
    table = f"<table>{''.join(parts)}</table>" if parts else ""
    body = route.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    given = route.get("responses", {}).get("200", {}).get("content", {}).get("application/json", {}).get("schema")
    asked = f"<h4>Body</h4>{_code(body)}" if body else ""
    told = f"<h4>Answer</h4>{_code(given)}" if given else ""
    text = html.escape(route.get("description", ""))
    head = f'<b class="{method}">{method.upper()}</b> <code>{html.escape(path)}</code>'
    return f"<details><summary>{head}<span>{text}</span></summary>{table}{asked}{told}</details>"


def _code(value: Any) -> str:
    return f"<pre>{html.escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())}</pre>"
