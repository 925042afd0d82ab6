"""Supervised: the environment variables and pipes between a supervisor and its processes."""

from __future__ import annotations

import contextlib
import os

SUPERVISED = "RSQ_PIPE_SUPERVISED"
"""The file descriptor of a pipe the process watches: it closes when the supervisor is gone."""

ENDED = "RSQ_PIPE_ENDED"
"""The file descriptor of a pipe to which a process writes its exit code when it ends by itself."""

NUMBER = "RSQ_PIPE_NUMBER"
"""The index of this process, from 0."""

COUNT = "RSQ_PIPE_PROCESSES"
"""Number of processes."""

REPORTS = "RSQ_PIPE_REPORTS"
"""The file descriptor of a socket to which a process reports how far it is."""

ADDRESS = "RSQ_PIPE_REDIS"
"""The server's URL, which `ps` does not show here; users may set it as well."""


def place_among() -> tuple[int, int]:
    """Return the index of this process among its supervisor's, and their number."""
    return int(os.environ.get(NUMBER, "0")), int(os.environ.get(COUNT, "1"))


def is_supervised() -> bool:
    """Return whether this is one of a supervisor's processes."""
    return SUPERVISED in os.environ


def own_number() -> int | None:
    """Return the index of this process among its supervisor's; None if it has no supervisor."""
    return int(os.environ[NUMBER]) if NUMBER in os.environ else None


def report_exit_code(code: int) -> None:
    """Report the exit code to the supervisor, if there is one, before this process ends by itself."""
    if ENDED in os.environ:
        with contextlib.suppress(OSError):  # the supervisor is gone
            os.write(int(os.environ[ENDED]), str(code).encode())
