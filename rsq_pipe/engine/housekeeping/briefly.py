"""Briefly: optional tidying at the end of a run, done only if the server still answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from rsq_pipe.errors import StreamError

FAREWELL = 0.5
"""Seconds it may take: a server that is away must not delay the end."""

T = TypeVar("T")


async def answered(work: Coroutine[Any, Any, object]) -> bool:
    """Run work that may be left undone; return whether the server answered, if only to refuse it."""
    try:
        async with asyncio.timeout(FAREWELL):
            await work
    except StreamError as exc:
        return not exc.retryable
    except TimeoutError:
        return False
    return True


async def briefly(work: Coroutine[Any, Any, T]) -> T | None:
    """Run work that may be left undone."""
    with contextlib.suppress(StreamError, TimeoutError):
        async with asyncio.timeout(FAREWELL):
            return await work
    return None
