"""Every test of a verb leaves no thread and no task behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.signals import wait_until


def _left() -> list[str]:
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("rsq-pipe")]
    return threads + [
        task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("rsq-pipe")
    ]


@pytest_asyncio.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    yield
    await wait_until(lambda: not _left(), what="no thread and no task of a verb is left")
