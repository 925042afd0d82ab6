"""Library: what reads and writes Parquet, loaded where a pipeline needs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_MAGIC = b"PAR1"
_SMALLEST = 12


def library() -> Any:
    """Load the library; that it is installed was looked at when the file was checked."""
    from arro3 import io  # noqa: PLC0415  loaded where it is needed

    return io


def check_file(path: Path) -> None:
    """
    Make sure that a file that is not empty is one of Parquet; the library panics otherwise.

    Raises:
        ValueError: It is none, or not whole.
        OSError: It cannot be read.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is not a regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return
        begins = file.read(4)
        file.seek(max(0, size - 8))
        footer = file.read(8)
    if begins != _MAGIC:
        raise ValueError("it is no Parquet file")
    length = int.from_bytes(footer[:4], "little")
    if size < _SMALLEST or footer[4:] != _MAGIC or length > size - _SMALLEST:
        raise ValueError("it is no whole Parquet file: it may still be written, or is damaged")
