"""Closing: how `close` ends the reading of a source that waits in another thread."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator

from rsq_pipe.connectors.source import Chunk


class WaitingSource(ABC):
    """
    The base of sources of one shard that wait, until `close` ends the current reading.

    Each reading has its own event. It is made when `read` is called, not when the first chunk is
    asked for: a `close` in between ends this reading, and one that was meant for the previous reading
    does not.
    """

    def __init__(self) -> None:
        self._closing = threading.Event()

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:  # noqa: ARG002  there is one
        """Yield what follows `position`, until `close`; SourceError if it cannot be read."""
        self._closing = threading.Event()
        return self._read(position, size, self._closing)

    def close(self) -> None:
        """End the current reading."""
        self._closing.set()

    @abstractmethod
    def _read(self, position: str, size: int, closing: threading.Event) -> Iterator[Chunk]:
        """Yield what follows `position`, until the event is set."""
