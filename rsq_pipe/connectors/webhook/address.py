"""Address: whether a port can be listened at."""

from __future__ import annotations

import errno
import socket

from rsq_pipe.connectors.endpoint import UnreachableError


def check_address(listen: str) -> None:
    """
    Listen for a moment.

    Raises:
        UnreachableError: It cannot be listened at.
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
            fix = "stop whoever does, unless it is this pipeline"
        raise UnreachableError(f"it cannot be listened at: {exc.strerror or exc}; {fix}") from exc
