"""App: the page's files, and the JSON API at /api (the newest) and /api/v1."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from rsq_pipe.errors import (
    ExpressionError,
    NeverRanError,
    ReplayError,
    RsqPipeError,
    ServerUnavailableError,
    StreamError,
    UnknownStageError,
)
from rsq_pipe.page import (
    actions,
    dead_letter_actions,
    dead_letters,
    openapi,
    pipelines,
    records,
    session,
    stages,
)
from rsq_pipe.page.access import Access
from rsq_pipe.page.answers import Refusal
from rsq_pipe.page.files import asset
from rsq_pipe.page.guard import Guard
from rsq_pipe.page.site import Site

PARTS = (session, pipelines, stages, actions, dead_letter_actions, dead_letters, records, openapi)
_STATUS: dict[type[RsqPipeError], int] = {
    NeverRanError: 404,
    UnknownStageError: 404,
    ReplayError: 409,
    ExpressionError: 400,
    ServerUnavailableError: 503,
    StreamError: 502,
}


def create_app(site: Site) -> Starlette:
    """Create the application that an ASGI server runs."""
    access = Access(site.tokens)
    routes = [*(route for part in PARTS for route in part.ROUTES), Route("/{rest:path}", _nothing)]
    app = Starlette(
        routes=[
            Mount("/api/v1", routes=routes),
            Mount("/api", routes=routes),
            Route("/{path:path}", asset),
        ],
        middleware=[Middleware(Guard, access=access, read_only=site.read_only)],
        exception_handlers={Refusal: _refused, RsqPipeError: _failed, HTTPException: _no_route},
    )
    app.state.site = site
    app.state.access = access
    return app


async def _nothing(request: Request) -> Response:
    raise Refusal(404, f"there is nothing at {request.url.path[:200]}", "see /api/openapi.json")


async def _refused(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refusal)
    return exc.answer()


async def _failed(_: Request, exc: Exception) -> Response:
    """Answer with the error between the page and the server."""
    status = next((code for kind, code in _STATUS.items() if isinstance(exc, kind)), 500)
    return Refusal(status, str(exc)).answer()


async def _no_route(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == 405:
        refusal = Refusal(
            405, f"{request.method} is not for {request.url.path[:200]}", "see /api/openapi.json"
        )
    else:
        refusal = Refusal(exc.status_code, exc.detail)
    found = refusal.answer()
    found.headers.update(exc.headers or {})
    return found
