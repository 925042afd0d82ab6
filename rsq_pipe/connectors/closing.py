"""Closing: how `close` ends the reading of a source that waits in another thread."""

from __future__ import annotations

import threading


class Closing:
    """
    Hold the event that ends the current reading of a source.

    Each reading has its own event. It is made when `read` is called, not when the first chunk is
    asked for: a `close` in between ends this reading, and one that was meant for the previous reading
    does not.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def begin(self) -> threading.Event:
        """Return the event of a new reading, which has to end once it is set."""
        self._event = threading.Event()
        return self._event

    def set(self) -> None:
        """End the current reading."""
        self._event.set()

    def is_set(self) -> bool:
        """Return whether the current reading has to end."""
        return self._event.is_set()
