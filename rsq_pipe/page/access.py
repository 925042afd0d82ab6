"""Access: authentication, by a token or by the cookie of a browser that has logged in."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Mapping

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from rsq_pipe.page.answers import Refusal
from rsq_pipe.page.attempts import Attempts

COOKIE = "rsq_pipe_session"
"""The prefix of the cookie's name."""

SESSION_SECONDS = 12 * 3600


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
        self._ended: dict[str, float] = {}  # session -> when its cookie would have run out
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
        claim = f"{name.encode().hex()}.{int(time.time())}.{secrets.token_hex(8)}"
        return f"{claim}.{_sign(self._tokens[name], claim)}"

    def end_session(self, headers: Headers) -> None:
        """Accept the cookie of a browser that logs out no more, until this process ends."""
        session, now = _cookie(headers), time.time()
        if self._signed_in(session) is not None:  # so that strangers cannot fill the list
            kept = {other: until for other, until in self._ended.items() if until > now}
            self._ended = {**kept, session: now + SESSION_SECONDS}

    def _signed_in(self, session: str) -> str | None:
        if session in self._ended:
            return None
        claim, _, signature = session.rpartition(".")
        parts = claim.split(".")
        try:
            name, at = bytes.fromhex(parts[0]).decode(), int(parts[1])
        except (ValueError, IndexError):
            return None
        token = self._tokens.get(name)
        if token is None or not hmac.compare_digest(signature.encode(), _sign(token, claim).encode()):
            return None
        return name if 0 <= time.time() - at <= SESSION_SECONDS else None


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
