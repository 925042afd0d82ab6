"""Access: authentication and permissions; every request passes here before any route."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog
from msgspec import Struct
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rsq_pipe.page.answers import MAX_BODY, Refusal
from rsq_pipe.page.attempts import Attempts

_log = structlog.get_logger("rsq_pipe")

COOKIE = "rsq_pipe_session"
"""The prefix of the cookie's name."""

BODY_SECONDS = 30.0
"""Maximum seconds until a whole body has arrived."""

CSRF = "x-csrf-token"
SESSION_SECONDS = 12 * 3600
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


class Caller(Struct, frozen=True):
    """
    Describe who sends a request.

    Args:
        name: The name of the token; empty if none is needed.
        csrf: The value that a browser's action must send in the header `X-CSRF-Token`.
        by_header: Whether the token came in a header, which browsers do not send by themselves.
    """

    name: str
    csrf: str
    by_header: bool = False


class Access:
    """
    Check tokens.

    Args:
        tokens: Name -> token; empty if no token is needed, on this machine only.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = {name: token.encode() for name, token in tokens.items()}
        self._key = secrets.token_bytes(32)
        self.attempts = Attempts()

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return not self._tokens

    def caller(self, headers: Headers, address: str) -> Caller | None:
        """
        Return who asks; None if unknown.

        Raises:
            Refusal: Too many wrong tokens have come from the address.
        """
        if self.is_open:
            return Caller("", _sign(self._key, "csrf"))
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            name = self.tried(token.strip(" \t").encode("latin-1"), address)  # as it was sent
            return None if name is None else Caller(name, "", by_header=True)
        session = _cookie(headers)
        name = self._signed_in(session)
        return None if name is None else Caller(name, _sign(self._tokens[name], f"csrf {session}"))

    def tried(self, token: bytes, address: str) -> str | None:
        """
        Find the name of a token sent from an address; None for a wrong one.

        Raises:
            Refusal: Too many wrong tokens have come from there; this one was not checked.
        """
        if wait := math.ceil(self.attempts.wait(address)):
            what = f"too many wrong tokens have come from {address[:64]}"
            raise Refusal(429, what, f"try again in {wait} s", headers={"retry-after": str(wait)})
        name = self.named(token)
        if name is None:
            self.attempts.wrong(address)
        return name

    def named(self, token: bytes) -> str | None:
        """Find the name of a token, comparing it with each in constant time; None for a wrong one."""
        given, found = hashlib.sha256(token).digest(), None
        for name, known in self._tokens.items():
            if hmac.compare_digest(given, hashlib.sha256(known).digest()):
                found = name
        return found

    def session(self, name: str) -> str:
        """Make the cookie value of a logged-in browser."""
        said = f"{name.encode().hex()}.{int(time.time())}.{secrets.token_hex(8)}"
        return f"{said}.{_sign(self._tokens[name], said)}"

    def _signed_in(self, session: str) -> str | None:
        said, _, signature = session.rpartition(".")
        parts = said.split(".")
        try:
            name, at = bytes.fromhex(parts[0]).decode(), int(parts[1])
        except (ValueError, IndexError):
            return None
        token = self._tokens.get(name)
        if token is None or not hmac.compare_digest(signature.encode(), _sign(token, said).encode()):
            return None
        return name if 0 <= time.time() - at <= SESSION_SECONDS else None


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


def cookie_name(host: str) -> str:
    """Name a page's cookie after its port: browsers separate cookies only by host."""
    port = host.rpartition(":")[2]
    return f"{COOKIE}_{port}" if port.isascii() and port.isdigit() and ":" in host else COOKIE


def address_of(scope: Scope) -> str:
    """Find the address a request comes from."""
    return str((scope.get("client") or ("", 0))[0])


def _cookie(headers: Headers) -> str:
    """Read the session cookie; `http.cookies` fails on unusual cookies of other pages."""
    return cookie_parser(headers.get("cookie", "")).get(cookie_name(headers.get("host", "")), "")


def _sign(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
