"""Transcoded: a file of wide characters, read as the same text in UTF-8."""

from __future__ import annotations

import codecs
import io
from typing import Any

_BLOCK = 64 * 1024
_NO_TEXT = "\udcff"


def _no_text(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _NO_TEXT, error.end


codecs.register_error("rsq_pipe.no_text", _no_text)


class Transcoded(io.RawIOBase):
    """
    Read UTF-16 or UTF-32 as UTF-8, for an io.BufferedReader: there a newline is one byte.

    Invalid text comes out as invalid UTF-8, so that only its own line becomes a dead letter.

    Args:
        file: The file, at its beginning; closed with this.
        encoding: The encoding of its bytes.
    """

    def __init__(self, file: io.RawIOBase, encoding: str) -> None:
        self._file = file
        self._encoding = encoding
        self._text = b""
        self._place = 0
        self._ended = False
        self._begin()

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it can be moved; moving means reading again, from the start if necessary."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file.fileno()

    def readinto(self, buffer: Any) -> int:
        """Return the result of one read."""
        while not self._text and not self._ended:
            self._read_on()
        data = self._text[: len(buffer)]
        buffer[: len(data)] = data
        self._text = self._text[len(data) :]
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in the text."""
        if whence == io.SEEK_CUR:
            offset += self._place
        if offset < self._place:
            self._file.seek(0)
            self._begin()
        waste = memoryview(bytearray(_BLOCK))
        while self._place < offset and self.readinto(waste[: offset - self._place]):
            pass
        return self._place

    def tell(self) -> int:
        """Return the position in the text."""
        return self._place

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _begin(self) -> None:
        self._decoder = codecs.getincrementaldecoder(self._encoding)("rsq_pipe.no_text")
        self._text = b""
        self._place = 0
        self._ended = False

    def _read_on(self) -> None:
        data = self._file.read(_BLOCK)
        self._ended = not data
        text = self._decoder.decode(data or b"", final=self._ended)
        self._text = text.encode("utf-8", "surrogatepass")
