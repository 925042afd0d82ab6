"""Waiting: for an event with a limit, for the first of several things."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any


async def until(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, or for some seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def first(*things: Awaitable[Any]) -> None:
    """Wait until one of several things has happened; cancels the others."""
    tasks = [asyncio.ensure_future(thing) for thing in things]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
