"""The API as one FastAPI application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware

from stakan import __version__
from stakan.apps.api import auth_routes, bot_routes, data_routes, login_page, problems, stream, system_routes
from stakan.apps.api.access import Context, Gate
from stakan.apps.api.answers import answer, document

_ABOUT = (
    "What a running bot sees and does, and what an operator may ask of it. Prices and sizes are decimals written as "
    "text, times milliseconds since 1970 UTC, errors problem documents (RFC 9457). Log in at /auth/login and send "
    "`Authorization: Bearer …`; `/ws` streams topics, `/ws/book/{symbol}` one book as binary frames."
)


def build_api(context: Context) -> FastAPI:
    """The application; its link to the bot runs while the application does."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(context.link.run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    # The usual pages for the document load scripts from elsewhere; ours is in system_routes.
    app = FastAPI(
        title="stakan",
        version=__version__,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.context = context
    problems.install(app)
    for router in (
        system_routes.router,
        login_page.router,
        auth_routes.router,
        bot_routes.router,
        data_routes.data,
        data_routes.trading,
        stream.router,
    ):
        app.include_router(router)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return answer(document(request.app))

    if context.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(context.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "idempotency-key"],
        )
    app.add_middleware(Gate, context=context)
    return app
