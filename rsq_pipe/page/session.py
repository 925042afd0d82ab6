"""Session: the routes for the current user, logging in and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rsq_pipe.page.access import SESSION_SECONDS, Access, Caller, address_of, cookie_name
from rsq_pipe.page.answers import Refusal, answer, bad, body
from rsq_pipe.page.site import site_of
from rsq_pipe.version import __version__


def caller_of(request: Request) -> Caller | None:
    """Return who asks; None if unknown."""
    caller: Caller | None = request.state.caller
    return caller


def who(request: Request) -> str:
    """Return who asks, for the audit list."""
    caller = caller_of(request)
    return caller.name if caller and caller.name else "this machine"


async def session(request: Request) -> Response:
    """Return what the page's user may do."""
    site, caller = site_of(request), caller_of(request)
    known: Access = request.app.state.access
    return answer(
        {
            "authenticated": caller is not None,
            "login_needed": not known.is_open,
            "read_only": site.read_only,
            "token_name": (caller.name or None) if caller else None,
            "csrf": caller.csrf if caller else "",
            "jaeger": site.jaeger or None,
            "server": site.client.channel.address if caller else None,
            "version": __version__,
        }
    )


async def login(request: Request) -> Response:
    """Set a cookie for a browser that knows a token, so that it sends the token only once."""
    known: Access = request.app.state.access
    if known.is_open:
        raise bad("no token is needed here")
    token = (await body(request, ("token",))).get("token")
    name = None
    if isinstance(token, str):
        name = known.tried(token.encode(errors="replace"), address_of(request.scope))
    if name is None:
        raise Refusal(401, "the token is wrong", "ask the person who started `rsq-pipe serve` for one")
    found = answer({"token_name": name})
    secure = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto")}
    value = known.session(name)
    cookie = cookie_name(request.headers.get("host", ""))
    found.set_cookie(cookie, value, SESSION_SECONDS, secure=secure, httponly=True, samesite="strict")
    return found


async def logout(request: Request) -> Response:
    """Remove the cookie, and accept it no more: a copy of it must not stay valid."""
    known: Access = request.app.state.access
    known.end_session(request.headers)
    found = answer({"token_name": None})
    cookie = cookie_name(request.headers.get("host", ""))
    found.delete_cookie(cookie, httponly=True, samesite="strict")
    return found


ROUTES = [
    Route("/session", session),
    Route("/login", login, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
]
