"""Records: the position of the list of records in a JSON file, and its items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsq_pipe.connectors.files.broken import KEPT_OF_OVERLONG
from rsq_pipe.connectors.files.line_reader import LineReader
from rsq_pipe.connectors.json.window import EndedError, Window
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.source import Arrival
from rsq_pipe.connectors.wording import wording
from rsq_pipe.suggestion import suggest

_MOST_NAMED = 30


class Records:
    """
    Read the list in a file. All methods raise ValueError if the file is not what it should be.

    Args:
        shard: The prefix of offsets.
        reader: The file, at its beginning or after a record.
        path: The keys that lead to the list; none if the file is the list.
    """

    def __init__(self, shard: str, reader: LineReader, path: Sequence[str]) -> None:
        self._shard = shard
        self._reader = reader
        self._path = path
        self._window = Window(reader)

    @property
    def offset(self) -> int:
        """Number of bytes before the next item."""
        return self._window.offset

    def begin(self) -> bool:
        """Go to the list's first record; False if the file is empty."""
        window = self._window
        if not window.peek():
            return False
        for depth, key in enumerate(self._path):
            if not window.take(b"{"):
                where = f"`{'.'.join(self._path[:depth])}`" if depth else "the file"
                raise ValueError(f"{where} is not an object, so there is no `{'.'.join(self._path)}` in it")
            self._find(key)
        if not window.take(b"["):
            if self._path:
                raise ValueError(f"`{'.'.join(self._path)}` is not a list")
            fix = (
                "name the list in it: `records: path.to.list`" if window.peek() == b"{" else "it is not JSON"
            )
            raise ValueError(f"the file is not a list of records; {fix}, or read a file of lines as `jsonl`")
        return True

    def arrivals(self) -> Iterator[Arrival]:
        """Yield the list's items from here on; the reader's `line` counts them."""
        window = self._window
        while not window.take(b"]"):
            if self._reader.line and not window.take(b","):
                raise ValueError(self._ends() if not window.peek() else self._at("there is no comma"))
            window.peek()
            several = window.values()
            for raw in several:
                window.pass_over(raw)
                yield self._record(raw)
            if not several:
                yield self._next()
        self._end()

    def _next(self) -> Arrival:
        limit = self._reader.max_line
        raw = self._window.value(limit)
        if raw is not None and len(raw) <= limit:
            return self._record(raw)
        try:
            raw = raw if raw is not None else self._window.skip(limit + 1)
        except EndedError:
            raise ValueError(self._ends()) from None
        if len(raw) > limit:
            kept = raw[:KEPT_OF_OVERLONG]
            why = f"it is longer than max_record ({limit} bytes); its first {len(kept)} bytes are kept"
            return self._broken(kept, why)
        return self._record(raw)

    def _record(self, raw: bytes) -> Arrival:
        try:
            if len(raw) <= self._reader.max_line:
                data = parse(raw)
                self._reader.line += 1
                return Arrival(f"{self._shard}:{self._reader.line}", data, raw)
        except UNREADABLE as exc:
            return self._broken(raw, wording(exc))
        kept = raw[:KEPT_OF_OVERLONG]
        limit = self._reader.max_line
        return self._broken(kept, f"it is longer than max_record ({limit} bytes); its beginning is kept")

    def _broken(self, raw: bytes, why: str) -> Arrival:
        self._reader.line += 1
        number = self._reader.line
        return Arrival(f"{self._shard}:{number}", None, raw, f"{self._reader.name}: record {number}: {why}")

    def _find(self, key: str) -> None:
        """Go to the value of a key."""
        window, seen = self._window, list[str]()
        while not window.take(b"}"):
            if seen and not window.take(b","):
                raise ValueError(self._at("there is no comma"))
            window.peek()
            name = window.value(self._reader.max_line)
            if name is None or name[:1] != b'"' or not window.take(b":"):
                raise ValueError(self._at("it is not JSON"))
            spelt = next(iter(parse(b"{%b:0}" % name)))
            if spelt == key:
                return
            seen.append(spelt)
            window.peek()
            try:
                window.skip(0)
            except EndedError:
                raise ValueError(self._ends()) from None
        fix = suggest(key, seen[:_MOST_NAMED])
        raise ValueError(f"`records: {'.'.join(self._path)}`: there is no key {key!r}; {fix}")

    def _end(self) -> None:
        """Read to the end of the file: there may be no other value."""
        for _ in self._path:
            while not self._window.take(b"}"):
                if not self._window.take(b",") and not self._window.take(b":"):
                    if self._window.peek() in (b"", b"]"):
                        raise ValueError(self._ends())
                    try:
                        self._window.skip(0)
                    except EndedError:
                        raise ValueError(self._ends()) from None
        if self._window.peek():
            raise ValueError(self._at("something follows the end of its list"))

    def _ends(self) -> str:
        return "it ends in the middle: it may still be written, or is damaged"

    def _at(self, what: str) -> str:
        return f"at byte {self._window.offset:,} {what}"
