"""Window: the bytes of a JSON file from a position on, up to those read so far."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import msgspec

from rsq_pipe.connectors.files.line_reader import LineReader

_SPACE = re.compile(rb"[ \t\r\n]*")
_SIGN, _SIGN_IN_TEXT = re.compile(rb'["{}\[\],]'), re.compile(rb'["\\]')
_OPENING, _CLOSING = (b"{", b"["), (b"}", b"]")
_TRIED = 64 * 1024  # bytes tried at once: enough to be fast, not much to try in vain
_several = msgspec.json.Decoder(list[msgspec.Raw]).decode
_scan: Callable[[str, int], tuple[object, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class EndedError(Exception):
    """The file ends in the middle of a value."""


class Window:
    """
    Read values one after another, in bounded memory. `at` is the position of the next.

    Args:
        reader: The file.
    """

    def __init__(self, reader: LineReader) -> None:
        self._reader = reader
        self._data = b""
        # As if it were latin-1: one character per byte, and the signs of JSON stay the same.
        self._text = ""
        self._at = 0
        self._not_before = 0

    @property
    def offset(self) -> int:
        """Number of bytes of the file before the position."""
        return self._reader.offset - (len(self._data) - self._at)

    def peek(self) -> bytes:
        """Go to the next byte that is not white space; return it, or nothing at the file's end."""
        while True:
            found = _SPACE.match(self._data, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._data):
                return self._data[self._at : self._at + 1]
            if not self._more():
                return b""

    def take(self, sign: bytes) -> bool:
        """Go past a sign, if it comes next."""
        if self.peek() != sign:
            return False
        self._at += 1
        return True

    def values(self) -> list[bytes]:
        """
        Return several values that come next, if available and separated by commas; do not consume them.

        They end before one that begins as the first of them does, or else with a brace. If that was not
        between two values, there are none, and it is not tried again soon.
        """
        if self.offset < self._not_before:
            return []
        data = self._data[self._at : self._at + _TRIED]
        begins = data[: data.find(b":") + 1]
        end = data.rfind(begins) if begins else 0
        several = data[:end].rstrip(b" \t\r\n,") if end > 0 else data[: data.rfind(b"}") + 1]
        try:
            return [bytes(raw) for raw in _several(b"[%b]" % several)]
        except (msgspec.MsgspecError, RecursionError):
            self._not_before = self.offset + len(data)
            return []

    def pass_over(self, value: bytes) -> None:
        """Go past one of `values`, and the comma before it."""
        self._at = self._data.index(value, self._at) + len(value)

    def value(self, limit: int) -> bytes | None:
        """
        Return the bytes of the value that comes next, and go past it.

        Returns:
            None if it is not JSON, or longer than `limit`; the position stays the same.
        """
        while True:
            if len(self._text) != len(self._data):
                self._text = self._data.decode("latin-1")
            try:
                end = _scan(self._text, self._at)[1]
                if end < len(self._text):  # a number may continue there
                    data, self._at = self._data[self._at : end], end
                    return data
            except (StopIteration, ValueError, RecursionError):
                pass
            if len(self._data) - self._at > limit or not self._more():
                return None

    def skip(self, kept: int) -> bytes:
        """
        Go past the next value, of any kind: to the comma or the bracket after it.

        Returns:
            Its first bytes.

        Raises:
            EndedError: There is none: a text or a bracket is never closed.
        """
        first, depth, in_text = bytearray(), 0, False
        while True:
            found = (_SIGN_IN_TEXT if in_text else _SIGN).search(self._data, self._at)
            end = found.start() if found else len(self._data)
            first += self._data[self._at : min(end, self._at + kept - len(first))]
            self._at = end
            if found is None:
                if not self._more():
                    raise EndedError
                continue
            sign = found[0]
            if not in_text and depth == 0 and sign not in (*_OPENING, b'"'):
                return bytes(first)
            depth += (sign in _OPENING) - (sign in _CLOSING) if not in_text else 0
            size = 2 if sign == b"\\" else 1
            if self._at + size > len(self._data) and not self._more():
                raise EndedError
            first += self._data[self._at : self._at + size][: kept - len(first)]
            self._at += size
            in_text = in_text != (sign == b'"')

    def _more(self) -> bool:
        block = self._reader.read_block()
        self._data = self._data[self._at :] + block
        self._at = 0
        self._text = ""
        return bool(block)
