"""Answers: JSON, errors as `{"error": {"message", "fix"}}`, and the checked parameters of requests."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rsq_pipe.redaction import redact
from rsq_pipe.streams.wording import unreadable
from rsq_pipe.suggestion import near
from rsq_pipe.units import format_moment

MAX_BODY = 2 * 1024 * 1024
"""Maximum bytes of a request's body."""


class Refusal(Exception):  # noqa: N818  it is an answer, not a fault
    """
    Answer a request with an error.

    Args:
        status: The status code.
        message: What is wrong.
        fix: What to do about it.
        headers: Headers of the answer.
        more: Further fields of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        fix: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.fix = fix
        self.headers = headers or {}
        self.more = more

    def answer(self) -> Response:
        """Build the answer."""
        error = {"message": redact(self.message), "fix": redact(self.fix)}
        found = answer({"error": error, **self.more}, self.status)
        found.headers.update(self.headers)
        return found


def answer(value: Mapping[str, Any], status: int = 200) -> Response:
    """Build a JSON answer; invalid Unicode in foreign data is escaped."""
    return Response(json.dumps(value, allow_nan=False), status, media_type="application/json")


def bad(message: str, fix: str = "") -> Refusal:
    """Refuse a malformed request."""
    return Refusal(400, message, fix)


def number(request: Request, name: str, default: int, most: int) -> int:
    """Read a number, 1 or more, from a query."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and 1 <= int(text) <= most):
        raise bad(f"{name}={text[:40]} is not a number from 1 to {most:,}", f"write {name}={default}")
    return int(text)


async def body(request: Request, keys: Collection[str] = ()) -> dict[str, Any]:
    """
    Read the JSON object in a request's body; an empty body is an empty object.

    Args:
        request: The request.
        keys: The keys it may have.

    Raises:
        Refusal: It is none, or has another key: a misspelt limit must not be one that was not given.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        what = f"content type {kind[:60]!r} is not understood" if kind else "there is no content type"
        raise Refusal(415, what, "send `Content-Type: application/json`")
    raw = await request.body()
    if not raw:
        return {}
    try:
        found = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise bad(f"the body is not a JSON object: {unreadable(exc, raw)}", "send one such as {}") from exc
    for key in found:
        if key not in keys:
            meant = f"did you mean {near(key, keys)!r}? " if near(key, keys) else ""
            known = f"the keys are {', '.join(sorted(keys))}" if keys else "send {}: it has no keys"
            raise bad(f"unknown key {key[:60]!r}", f"{meant}{known}")
    return found


def moment(seconds: float | None) -> str | None:
    """Format seconds since 1970 as the API does: ISO 8601, UTC, milliseconds; None if not a valid time."""
    if seconds is None:
        return None
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # beyond the year 9999: not written by us
        return None
    return format_moment(at)
