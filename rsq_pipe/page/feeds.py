"""Feeds: sends every listening browser the status of a pipeline every second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import structlog

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.page import shapes
from rsq_pipe.page.answers import Refusal
from rsq_pipe.page.status_cache import StatusCache
from rsq_pipe.redaction import redact

_log = structlog.get_logger("rsq_pipe")

PERIOD = 1.0
"""Seconds between two events."""

MOST = 100
"""Maximum number of listening browsers."""

_Waiting = asyncio.Queue["bytes | None"]


class Feeds:
    """
    Send listeners the status of pipelines, read once per second for all of them.

    Args:
        status_cache: Reads the status of pipelines.
    """

    def __init__(self, status_cache: StatusCache) -> None:
        self._status_cache = status_cache
        self._listeners: dict[str, set[_Waiting]] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._closed = False
        self._seats = 0

    @property
    def listeners(self) -> int:
        """Number of listeners."""
        return sum(map(len, self._listeners.values()))

    @property
    def readers(self) -> int:
        """Number of pipelines that are read."""
        return len(self._readers)

    @contextmanager
    def seat(self) -> Iterator[None]:
        """
        Reserve a listener's place, from before it is answered until it is gone.

        Raises:
            Refusal: There are as many listeners as allowed.
        """
        if self._closed or self._seats >= MOST:
            raise Refusal(503, f"{self._seats} browsers listen already", "close some, or ask again later")
        self._seats += 1
        try:
            yield
        finally:
            self._seats -= 1

    async def listen(self, pipeline: str) -> AsyncIterator[bytes]:
        """Yield events until the listener goes, or the page ends."""
        waiting: _Waiting = asyncio.Queue(1)
        self._listeners.setdefault(pipeline, set()).add(waiting)
        if pipeline not in self._readers:
            self._readers[pipeline] = asyncio.ensure_future(self._read(pipeline))
        try:
            yield b"retry: 2000\n\n"
            while (event := await waiting.get()) is not None:
                yield event
        finally:
            self._listeners[pipeline].discard(waiting)
            if not self._listeners[pipeline]:
                del self._listeners[pipeline]
                self._readers.pop(pipeline).cancel()

    def close(self) -> None:
        """End all listeners."""
        self._closed = True
        for waiting in [one for some in self._listeners.values() for one in some]:
            _put(waiting, None)

    async def _read(self, pipeline: str) -> None:
        number = 0
        while True:
            number += 1
            event = await self._event(pipeline, number)
            for waiting in self._listeners.get(pipeline, ()):
                _put(waiting, event)
            await asyncio.sleep(PERIOD)

    async def _event(self, pipeline: str, number: int) -> bytes:
        try:
            name, value = "status", shapes.pipeline(await self._status_cache.of(pipeline))
        except RsqPipeError as exc:  # such as an unreachable server; the next read tries again
            name, value = "fault", {"error": {"message": redact(str(exc)), "fix": ""}}
        except Exception as exc:  # noqa: BLE001  else all listeners would wait for ever
            _log.error(
                "reading the state of a pipeline failed because of a fault in rsq-pipe",
                pipeline=pipeline,
                exc_info=exc,
            )
            value = {
                "error": {"message": "a fault in rsq-pipe", "fix": "its log says more; please report it"}
            }
            name = "fault"
        return f"id: {number}\nevent: {name}\ndata: {json.dumps(value, allow_nan=False)}\n\n".encode()


def _put(waiting: _Waiting, event: bytes | None) -> None:
    """Give a listener the newest event: a slow one misses earlier ones."""
    if waiting.full():
        waiting.get_nowait()
    waiting.put_nowait(event)
