"""LostServer: ends a run whose embedded server cannot be started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from rsq_pipe.errors import ServerStartError


class LostServer:
    """Stop the run like a signal, and end it with the error by which the server was lost."""

    def __init__(self) -> None:
        self._error: ServerStartError | None = None

    def lost(self, error: ServerStartError) -> None:
        """Store the error, from any thread."""
        self._error = error
        os.kill(os.getpid(), signal.SIGTERM)

    @contextmanager
    def ends(self) -> Iterator[None]:
        """
        Raise the error at the end of the block.

        Raises:
            ServerStartError: The server was lost, even if the run itself ended with another error.
        """
        try:
            yield
        except Exception as exc:
            if self._error is not None:
                raise self._error from exc
            raise
        if self._error is not None:
            raise self._error
