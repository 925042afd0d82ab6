"""WebhookSource: yields requests from outside, and answers each once it is stored."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from urllib.parse import quote

from rsq_pipe.connectors.closing import WaitingSource
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.webhook.listener import Listener, Request
from rsq_pipe.connectors.webhook.settings import WebhookSettings


class WebhookSource(WaitingSource):
    """
    Listen, in one process at a time.

    Args:
        settings: Where to listen, and for which requests.
        stage: The stage, for messages.
    """

    resumable = True

    def __init__(self, settings: WebhookSettings, *, stage: str) -> None:
        super().__init__()
        self._settings = settings
        self._stage = stage
        self._listener: Listener | None = None

    def shards(self) -> Sequence[str]:
        """Name the only shard; its position counts what was stored together, and says by whom."""
        return ["requests"]

    def _read(self, position: str, size: int, closing: threading.Event) -> Iterator[Chunk]:
        """Yield requests as they come; SourceError if it cannot listen at the address."""
        if closing.is_set():
            return
        number = int(position.partition(".")[0] or 0)
        # A settlement whose position is already stored counts as done before. After the same position, a
        # paused process and its successor have different requests: each needs positions of its own.
        by = secrets.token_hex(4)
        listener = Listener(self._settings, self._stage)
        if not listener.start(closing):
            return
        self._listener = listener
        try:
            if listener.was_away:
                yield Chunk.of([], f"{number}.{by}")  # it says that it listens again
            while not closing.is_set() and (requests := listener.take(size)):
                number += 1
                arrivals = [
                    Arrival(f"{_name(one, number, at)}:{place}", record)
                    for at, one in enumerate(requests)
                    for place, record in enumerate(one.records)
                ]
                chunk = Chunk.of(arrivals, f"{number}.{by}")
                chunk.settled = partial(_settled, listener, requests)
                yield chunk
        finally:
            listener.close()

    def close(self) -> None:
        """Stop listening."""
        super().close()
        if self._listener is not None:
            self._listener.close()


def _name(request: Request, number: int, at: int) -> str:
    return quote(request.id, safe=":/+@,=*!'()") if request.id else f"{number}.{at}"


def _settled(listener: Listener, requests: Sequence[Request], stored: bool) -> None:
    listener.settled(requests, stored=stored)
