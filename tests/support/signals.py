"""Signals: waiting for what must happen, with a timeout: the only place where tests poll."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

INTERVAL = 0.01

PATIENCE = 40.0
"""
Seconds until what a test waits for counts as not happening, even on a busy machine.

A process takes half a second to start on two idle cores, and ten times that where six others want them too.
Only a test whose fact is the time itself waits for less.
"""

BUSY = 8.0
"""
Seconds by which what takes a moment may be late on a busy machine.

For tests that rule out what takes longer: the timeout of a command, of a request, or of a stop.
"""

TO_END = 100.0
"""Seconds for a process that a test runs to its end; a test may take more, so that what it said is shown."""


@overload
async def wait_until(predicate: Callable[[], Awaitable[T]], timeout: float = ..., what: str = ...) -> T: ...
@overload
async def wait_until(predicate: Callable[[], T], timeout: float = ..., what: str = ...) -> T: ...
async def wait_until(
    predicate: Callable[[], Awaitable[T] | T],
    timeout: float = PATIENCE,
    what: str = "what the test waits for",
) -> T:
    """Call `predicate` until it is true and return its value; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = predicate()
        value: T = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:g} s, still not: {what} (last seen: {value!r})")
        await asyncio.sleep(INTERVAL)


def eventually(
    predicate: Callable[[], T], timeout: float = PATIENCE, what: str = "what the test waits for"
) -> T:
    """Do the same as `wait_until`, for tests without an event loop."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:g} s, still not: {what} (last seen: {value!r})")
        time.sleep(INTERVAL)
    return value
