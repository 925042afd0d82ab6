"""LostServer: ends a run whose embedded server cannot be started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from rsq_pipe.errors import ServerStartError


class LostServer:
    """Stop the run as a signal does, and have it end by the error that the server was lost by."""

    def __init__(self) -> None:
        self._error: ServerStartError | None = None

    def lost(self, error: ServerStartError) -> None:
        """Take note of it, in whatever thread."""
        self._error = error
        os.kill(os.getpid(), signal.SIGTERM)

    @contextmanager
    def ends(self) -> Iterator[None]:
        """
        Run inside.

        Raises:
            ServerStartError: The server was lost, whatever the run itself ended by.
        """
        try:
            yield
        except Exception as exc:
            if self._error is not None:
                raise self._error from exc
            raise
        if self._error is not None:
            raise self._error
