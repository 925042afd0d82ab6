"""Free TCP ports of 127.0.0.1, for servers that must be told theirs before they listen."""

from __future__ import annotations

import random
import socket

# Below the ports that Linux and macOS give to outgoing connections. One of those might be taken again by
# one of the thousands of connections that the tests open between this look and the server's start.
_RANGE = range(10_000, 32_768)
_TRIES = 100

_draw = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """Find a port that nobody listens on, and that this process has not been given yet."""
    for _ in range(_TRIES):
        port = _draw.choice(_RANGE)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise AssertionError(f"none of {_TRIES} ports between {_RANGE.start} and {_RANGE.stop} is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
