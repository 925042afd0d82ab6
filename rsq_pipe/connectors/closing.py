"""Closing: how `close` ends the reading of a source that waits, in another thread."""

from __future__ import annotations

import threading


class Closing:
    """
    Hold the event that ends the present reading of a source.

    Each reading has an event of its own. It is made as `read` is called, and not when the first chunk is
    asked for: a `close` that comes in between ends this reading, and one that was meant for the reading
    before does not.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def begin(self) -> threading.Event:
        """Give the event of a new reading, which is to end once it is set."""
        self._event = threading.Event()
        return self._event

    def set(self) -> None:
        """End the present reading."""
        self._event.set()

    def is_set(self) -> bool:
        """Tell whether the present reading is to end."""
        return self._event.is_set()
