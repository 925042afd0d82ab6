"""Ping: whether a server answers on a unix socket, asked without a client library."""

from __future__ import annotations

import socket
from pathlib import Path


def ping(path: Path, *, timeout: float = 0.5) -> bytes:
    """
    Ask the server on a unix socket for a sign of life.

    Args:
        path: The socket.
        timeout: Seconds to wait for the connection, and again for the reply.

    Returns:
        The first line of its reply: `+PONG`, or an error: `-LOADING ...` while it reads its data,
        `-MISCONF ...` while its disk is full; empty where nobody answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(256).partition(b"\r\n")[0]
        except OSError:
            return b""
