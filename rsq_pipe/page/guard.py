"""Guard: what each request must pass before any route: permissions, and limits on its body."""

from __future__ import annotations

import asyncio
import hmac
import time
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rsq_pipe.page.access import Access, Caller, address_of
from rsq_pipe.page.answers import MAX_BODY, Refusal

_log = structlog.get_logger("rsq_pipe")

BODY_SECONDS = 30.0
"""Maximum seconds until a whole body has arrived."""

CSRF = "x-csrf-token"
LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))
OPEN = frozenset(("/api/session", "/api/login", "/api/logout", "/api/openapi.json"))
"""Paths answered without a token; so is the page itself, which holds no data."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """
    Let requests through to the routes, and add the security headers to every answer.

    Args:
        app: The routes.
        access: Checks the tokens.
        read_only: Whether all actions are refused.
    """

    def __init__(self, app: ASGIApp, access: Access, *, read_only: bool) -> None:
        self._app = app
        self._access = access
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            scope["state"] = {**scope.get("state", {}), "caller": self._admitted(scope)}
            await self._app(scope, _bounded(scope, receive), guarded)
        except Refusal as refusal:
            if begun:
                return
            await refusal.answer()(scope, receive, guarded)
        except ClientDisconnect:
            return
        except Exception as exc:  # noqa: BLE001  anything is logged, and answered as all errors are
            _log.error("a request failed by a fault in rsq-pipe", path=scope["path"], exc_info=exc)
            if not begun:
                fault = Refusal(500, "a fault in rsq-pipe", "its log says more; please report it")
                await fault.answer()(scope, receive, guarded)

    def _admitted(self, scope: Scope) -> Caller | None:
        headers, path, method = Headers(scope=scope), _plain(scope["path"]), scope["method"]
        host = headers.get("host", "")
        if self._access.is_open and _name(host) not in LOCAL:
            what = f"the host {host[:80]!r} is not this machine"
            raise Refusal(421, what, "ask 127.0.0.1 or localhost, or start `rsq-pipe serve` with --token")
        caller = self._access.caller(headers, address_of(scope))
        if not path.startswith("/api/") or path in OPEN:
            if method not in {"GET", "HEAD"}:
                _refuse_foreign(headers, host)
            return caller
        if headers.get("sec-fetch-mode", "navigate") != "navigate":
            _refuse_other_site(headers)  # it could not read the answer, but could cause work
        if caller is None:
            raise Refusal(401, "a token is needed", "log in, or send `Authorization: Bearer TOKEN`")
        if method not in {"GET", "HEAD"}:
            self._may_act(caller, headers, host)
        return caller

    def _may_act(self, caller: Caller, headers: Headers, host: str) -> None:
        _refuse_foreign(headers, host)
        given = headers.get(CSRF, "").encode()
        if not caller.by_header and not hmac.compare_digest(given, caller.csrf.encode()):
            what = "the request does not say that it comes from this page"
            raise Refusal(403, what, "send `X-CSRF-Token` with the value from GET /api/session")
        if self._read_only:
            raise Refusal(403, "this page is read-only", "start `rsq-pipe serve` without --read-only")


def _refuse_foreign(headers: Headers, host: str) -> None:
    """Refuse requests that a browser sends on behalf of another site."""
    origin = headers.get("origin")
    if origin is not None and _netloc(origin) != host.lower():
        raise Refusal(403, f"the request comes from {origin[:80]!r}, not from this page")
    _refuse_other_site(headers)


def _refuse_other_site(headers: Headers) -> None:
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Refusal(403, "the request comes from another site")


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Stop reading a body that is too large or takes too long."""
    length = Headers(scope=scope).get("content-length", "")
    refusal = Refusal(413, f"the body is larger than {MAX_BODY:,} bytes", "send less at once")
    if length.isdigit() and int(length) > MAX_BODY:
        raise refusal
    read = 0
    until: float | None = time.monotonic() + BODY_SECONDS

    async def bounded() -> Message:
        nonlocal read, until
        try:
            async with asyncio.timeout(None if until is None else until - time.monotonic()):
                message = await receive()
        except TimeoutError:
            what = f"the body did not come within {BODY_SECONDS:g} s"
            raise Refusal(408, what, "send it at once", headers={"connection": "close"}) from None
        if not message.get("more_body", False):
            until = None  # from here on the caller only waits for the end of the connection
        read += len(message.get("body", b""))
        if read > MAX_BODY:
            raise refusal
        return message

    return bounded


def _plain(path: str) -> str:
    """Remove the version from a path: `/api/v1/session` is `/api/session`."""
    return f"/api/{path.removeprefix('/api/v1/')}" if path.startswith("/api/v1/") else path


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _netloc(origin: str) -> str | None:
    """Parse the host and port of an origin; None if it is not an address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
