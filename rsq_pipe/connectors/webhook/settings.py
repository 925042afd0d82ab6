"""WebhookSettings: the address to listen on, and the accepted requests."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from rsq_pipe.connectors.settings import Settings
from rsq_pipe.hosts import LAST_PORT, is_port
from rsq_pipe.units import Duration, Size


def _listen(value: Any) -> Any:
    if not isinstance(value, str | int) or isinstance(value, bool):
        return value
    host, colon, port = str(value).rpartition(":")
    if not (is_port(port) or port == "0") and port.isascii() and port.isdigit():
        raise ValueError(f"{value} has no port from 1 to {LAST_PORT}, or 0; write 127.0.0.1:8080")
    if not (colon and host and port.isascii() and port.isdigit()):
        example = port if port.isascii() and port.isdigit() else "8080"
        raise ValueError(f"must be HOST:PORT; write 127.0.0.1:{example}")
    return value


def _path(value: str) -> str:
    if not re.fullmatch(r"/[^{}?#\s]*", value):
        raise ValueError("must be a path that begins with /, without blanks, braces, ? and #; write /orders")
    return value


def _not_empty(value: str) -> str:
    # An empty variable would open the address to everyone.
    if not value:
        raise ValueError("is empty, so that everybody could post; set its secret, or leave the setting out")
    return value


_Secret: TypeAlias = Annotated[str, AfterValidator(_not_empty)]


class WebhookSettings(Settings):
    """Settings of the `webhook` source: records that others send by POST."""

    listen: Annotated[str, BeforeValidator(_listen)] = Field(
        description="The address and port to listen on: `127.0.0.1:8080`."
    )
    path: Annotated[str, AfterValidator(_path)] = Field(default="/", description="The path of the requests.")
    token: _Secret = Field(
        default="",
        repr=False,
        description="The token required in `Authorization: Bearer ...`: `${secret:NAME}`. Default: none.",
    )
    hmac_secret: _Secret = Field(
        default="",
        repr=False,
        description="The key of the HMAC-SHA256 of the body, in hexadecimal, that every request must carry: "
        "`${secret:NAME}`. Default: none.",
    )
    hmac_header: str = Field(
        default="X-Signature",
        pattern=r"^[A-Za-z0-9-]+$",
        description="The header that carries it, with or without `sha256=` in front.",
    )
    id_header: str = Field(
        default="Idempotency-Key",
        pattern=r"^[A-Za-z0-9-]+$",
        description="The header that may identify a request; if it does, record ids begin with its value.",
    )
    max_body: Size = Field(
        default="1MiB", validate_default=True, gt=0, description="The largest request in bytes."
    )
    max_requests: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=100, description="How many requests may wait to be stored; others are answered 503."
    )
    timeout: Duration = Field(
        default=30.0, gt=0, description="How long a request waits to be stored, before it is answered 503."
    )
