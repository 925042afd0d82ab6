"""Source `webhook`: records that others send by POST, answered once they are stored."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.endpoint import Endpoint, UnreachableError
from rsq_pipe.connectors.webhook.settings import WebhookSettings as Options

if TYPE_CHECKING:
    from rsq_pipe.connectors.webhook.reading import WebhookSource


def connect(options: Options, *, stage: str, root: Path) -> WebhookSource:  # noqa: ARG001  every connector's signature
    """Make the source of a stage; nothing listens yet."""
    from rsq_pipe.connectors.webhook.reading import WebhookSource  # noqa: PLC0415  an extra

    return WebhookSource(options, stage=stage)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the address as an endpoint; trying it means listening for a moment."""
    return Endpoint(f"listen at {options.listen}", lambda _: _check_address(options.listen))


def _check_address(listen: str) -> None:
    """
    Listen for a moment.

    Raises:
        UnreachableError: It cannot listen at the address.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(found[0], socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(found[4])
            tried.listen(1)
    except OSError as exc:
        fix = "check `listen`"
        if exc.errno == errno.EADDRINUSE:
            fix = "stop the other program, unless it is this pipeline"
        raise UnreachableError(f"it cannot be listened at: {exc.strerror or exc}; {fix}") from exc


__all__ = ["Options", "connect", "endpoint"]
