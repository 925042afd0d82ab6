"""What a supervisor tells its processes, in their environment, and what they tell it."""

from __future__ import annotations

import contextlib
import os

SUPERVISED = "RSQ_PIPE_SUPERVISED"
"""The pipe a process watches: when its other end closes, the supervisor is gone."""

ENDED = "RSQ_PIPE_ENDED"
"""The pipe to which a process writes its exit code when it ends by itself."""

NUMBER = "RSQ_PIPE_NUMBER"
"""Which of the processes this is, from 0."""

COUNT = "RSQ_PIPE_PROCESSES"
"""How many there are."""

ADDRESS = "RSQ_PIPE_REDIS"
"""The server's URL, which `ps` does not show here; users may set it as well."""


def place_among() -> tuple[int, int]:
    """Tell which of a supervisor's processes this is, and how many there are."""
    return int(os.environ.get(NUMBER, "0")), int(os.environ.get(COUNT, "1"))


def is_supervised() -> bool:
    """Tell whether this is one of a supervisor's processes."""
    return SUPERVISED in os.environ


def own_number() -> int | None:
    """Tell which of a supervisor's processes this is; None if it is not one."""
    return int(os.environ[NUMBER]) if NUMBER in os.environ else None


def say_ended(code: int) -> None:
    """Tell the supervisor, if there is one, that this process is ending by itself."""
    if ENDED in os.environ:
        with contextlib.suppress(OSError):  # it is gone
            os.write(int(os.environ[ENDED]), str(code).encode())
