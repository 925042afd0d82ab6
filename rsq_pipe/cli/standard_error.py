"""Standard error: discards what cannot be written there: the disk is full, or its reader has ended."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Discarding(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def outlast_standard_error() -> None:
    """
    Let no command fail, and no exit code change, because its messages cannot be written.

    Python would raise at the write, and end with exit code 120 since it tries again at exit.
    """
    given = sys.__stderr__
    if given is None or sys.stderr is not given:  # somebody captures what is written
        return
    raw = _Discarding(given.fileno(), "w", closefd=False)
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=given.encoding, errors=given.errors, line_buffering=True
    )
