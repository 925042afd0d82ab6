"""Unpacked: a file packed by gzip, bzip2 or zstd, read as the original bytes."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rsq_pipe.extras import install

_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
SUFFIXES = (".gz", ".bz2", ".zst")
"""Suffixes of packed files."""


def is_packed(path: Path) -> bool:
    """Return whether a file is packed, by its name."""
    return path.suffix in SUFFIXES


def missing_for(name: str) -> str:
    """Return what to install if a file of this name cannot be read or written yet; otherwise empty."""
    return "" if not name.endswith(".zst") or _has_zstd() else install("zstd")


def packed(name: str, data: bytes) -> bytes:
    """Pack bytes in the format of this name: as a separate part, after others."""
    suffix = Path(name).suffix
    if suffix not in SUFFIXES:
        return data
    library = _library(suffix)
    part: bytes
    match suffix:
        case ".gz":
            part = library.compress(data, 6)  # the best level takes ten times as long
        case ".bz2":
            part = library.compress(data)
        case _:  # without a checksum, damage would be read as data
            part = library.compress(data, options={library.CompressionParameter.checksum_flag: 1})
    return part


def unpacked_head(name: str, data: bytes, size: int) -> bytes:
    """Unpack the first bytes of a file that begins with `data`, if they are in it."""
    suffix = Path(name).suffix
    if suffix not in SUFFIXES:
        return data
    file = _library(suffix).open(io.BytesIO(data))
    head = b""
    with contextlib.suppress(EOFError):  # it is cut off in the middle
        while len(head) < size and (block := file.read1(size - len(head))):
            head += block
    return head


def _opened(path: Path) -> Any:
    if missing := missing_for(path.name):
        raise OSError(f"it needs a package that is not installed: {missing}")
    library = _library(path.suffix)
    if path.suffix != ".bz2":
        return gzip.GzipFile(path) if path.suffix == ".gz" else library.ZstdFile(path)
    file = library.BZ2File(path)
    # Otherwise a part that is damaged in its first 8 KiB (128 since Python 3.14) is taken for garbage behind
    # the parts before it, and the file ends there without an error.
    file._buffer.raw._trailing_error = ()
    return file


def _library(suffix: str) -> Any:
    # Not at the top: they take time to import, and few files need them.
    names = {".gz": "gzip", ".bz2": "bz2", ".zst": _ZSTD}
    return importlib.import_module(names[suffix])


def _has_zstd() -> bool:
    return find_spec(_ZSTD.partition(".")[0]) is not None and find_spec(_ZSTD) is not None


class Unpacked(io.RawIOBase):
    """
    Unpack a file for an io.BufferedReader, whose readline runs in C.

    Each read is one step of unpacking. A GzipFile under a BufferedReader fills whole blocks instead, and if
    the file is damaged, everything that was unpacked for the last block is lost.
    """

    def __init__(self, path: Path) -> None:
        self._file: io.BufferedIOBase = _opened(path)

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it can be moved; moving means unpacking again, from the start if necessary."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the packed file."""
        return self._file.fileno()

    def readinto(self, buffer: Any) -> int:
        """Unpack the result of one step."""
        try:
            data = self._file.read1(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise
        except Exception as exc:
            if isinstance(exc, OSError) and exc.errno is not None:
                raise
            raise zlib.error(str(exc)) from exc  # as bz2 and zstd report it
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in the unpacked bytes."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position in the unpacked bytes."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
