"""Reading: the lines of a command, which is run again when it ends."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog

from rsq_pipe.connectors.closing import WaitingSource
from rsq_pipe.connectors.exec.child import Child
from rsq_pipe.connectors.exec.command import ReadOptions, ended, why_not_run
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.producer import Ended, Producer
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import SourceError
from rsq_pipe.growing_pause import GrowingPause
from rsq_pipe.units import counted

FIRST, LONGEST = 0.1, 60.0
"""Seconds before a command that failed is run again: the first time, and at most."""

LASTING = 1.0
"""Seconds before one that ended well is run again; one that fails earlier does not count as working."""

_KEPT = 64 * 1024  # how many bytes of an overlong line are kept


class ExecSource(WaitingSource):
    """
    Yield the output of a command.

    Args:
        options: The source's settings.
        stage: The stage, for messages.
        root: The project root.
    """

    resumable = True

    def __init__(self, options: ReadOptions, *, stage: str, root: Path) -> None:
        super().__init__()
        self._options = options
        self._stage = stage
        self._root = root
        self._skips = options.resume == "skip"
        self._child: Child | None = None
        self._log = structlog.get_logger("rsq_pipe").bind(stage=stage, command=options.shown)

    def shards(self) -> Sequence[str]:
        """Name the only shard."""
        return ["output"]

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """Begin a reading; the command of the one before is not its own."""
        self._child = None
        return super().read(shard, position, size)

    def _read(self, position: str, size: int, stopped: threading.Event) -> Iterator[Chunk]:
        """
        Yield its lines, after `position`, or from the first line of a new run.

        Raises:
            SourceError: It cannot be run, or has failed and must not be run again.
        """
        run, stored = (int(part) for part in position.split(":")) if position else (0, 0)
        pause = GrowingPause(FIRST, LONGEST)
        while not stopped.is_set():
            run, stored = (run, stored) if self._skips else (run + 1, 0)
            lines = _Lines(self._options, run, stored)
            began = time.monotonic()
            child = self._child = self._started()
            if stopped.is_set():  # set in between, when there was no command to end
                child.stop()
                return
            yield from self._chunks(child, lines, size, stopped)
            if stopped.is_set():
                return
            code = child.wait()
            stored, new = lines.stored, lines.stored > stored
            if code == 0 and self._options.restart != "always":
                return
            why = ended(code) + (f": {child.last_words}" if child.last_words else "")
            if code and self._options.restart == "never":
                raise self._error(why)
            if new and (code == 0 or time.monotonic() - began >= LASTING):
                pause.works()
            after = max(pause.fails(), 0.0 if code else LASTING)
            self._log.warning("a command is run again", why=why, after=after)
            stopped.wait(after)

    def close(self) -> None:
        """End the command."""
        super().close()
        if self._child is not None:
            self._child.stop()

    def _started(self) -> Child:
        try:
            return Child(self._options, self._root, self._stage)
        except (OSError, ValueError) as exc:
            raise self._error(why_not_run(self._options, self._root, exc)) from exc

    def _chunks(self, child: Child, lines: _Lines, size: int, stopped: threading.Event) -> Iterator[Chunk]:
        producer = Producer(child.lines)
        try:
            end = False
            while not end:
                taken = producer.take(size)
                found: list[tuple[bytes, bool]] = [one for one in taken if not isinstance(one, Ended)]
                end = len(found) < len(taken)
                if (
                    found
                    and not found[-1][0].endswith(b"\n")
                    and len(found[-1][0]) <= self._options.max_line
                    and child.wait()
                ):
                    found.pop()  # half a line, from one that failed
                arrivals = [one for line, whole in found for one in lines.arrivals(line, whole=whole)]
                if arrivals:
                    yield Chunk.of(arrivals, lines.position)
        finally:
            producer.close()
            if stopped.is_set() or not end:
                child.stop()

    def _error(self, what: str) -> SourceError:
        return SourceError(f"stage {self._stage!r}: command {self._options.shown}: {what}", stage=self._stage)


class _Lines:
    """The lines of one run of a command, counted and turned into records."""

    def __init__(self, options: ReadOptions, run: int, stored: int) -> None:
        self._run = run
        self._skip = stored
        self._prefix = "" if options.resume == "skip" else f"{run}."
        readers = {"jsonl": parse, "lines": _line, "csv": self._row}
        self._read: Callable[[bytes], dict[str, Any]] = readers[options.format]
        self._max_line = options.max_line
        self._has_header = options.format == "csv"
        self._header: list[str] | None = None
        self._number = 0

    @property
    def stored(self) -> int:
        """The number of records read so far, including those stored before."""
        return max(self._number, self._skip)

    @property
    def position(self) -> str:
        """The position in the stored form."""
        return f"{self._run}:{self._number}"

    def arrivals(self, line: bytes, *, whole: bool) -> Iterator[Arrival]:
        """Turn a line into a record, a broken arrival, or nothing."""
        text = line.rstrip(b"\r\n")
        if not text:
            return
        if self._has_header and self._header is None:
            self._header = _fields(text)
            return
        self._number += 1
        if self._number <= self._skip:
            return
        offset = f"{self._prefix}{self._number}"
        if not whole and len(line) > self._max_line:
            yield Arrival(
                offset, None, text[:_KEPT], f"line {self._number} is longer than {self._max_line:,} bytes"
            )
            return
        try:
            yield Arrival(offset, self._read(text), text if self._read is parse else b"")
        except (*UNREADABLE, UnicodeDecodeError, ValueError) as exc:
            yield Arrival(offset, None, text, f"line {self._number}: {wording(exc)}")

    def _row(self, text: bytes) -> dict[str, Any]:
        assert self._header is not None
        fields = _fields(text)
        if len(fields) != len(self._header):
            raise ValueError(
                f"it has {counted(len(fields), 'field')}, and the header has {len(self._header)}"
            )
        return dict(zip(self._header, fields, strict=True))


def _line(text: bytes) -> dict[str, Any]:
    return {"line": text.decode()}


def _fields(text: bytes) -> list[str]:
    try:
        return next(csv.reader([text.decode()], strict=True))
    except csv.Error as exc:
        raise ValueError(str(exc)) from exc
