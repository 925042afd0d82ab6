"""Sink `stdout`: one JSON object per line, to standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.jsonl.json_lines import json_lines
from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.connectors.sink import Written
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch


class Options(Settings):
    """Settings of the `stdout` sink: one JSON object a line."""

    rid: bool = rid_option()


def connect(options: Options, *, stage: str, root: Path) -> StdoutSink:  # noqa: ARG001  every connector's signature
    """Make the sink of a stage."""
    return StdoutSink(stage, rid=options.rid)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return standard output as an endpoint: it always exists."""
    return Endpoint("standard output", lambda _: None)


class StdoutSink:
    """Print records; one that was printed just before a crash is printed again."""

    guarantee: ClassVar[Literal["exactly-once", "at-least-once"]] = "at-least-once"
    exclusive: ClassVar[bool] = False
    target: str = "stdout"

    def __init__(self, stage: str, *, rid: bool = False) -> None:
        self._stage = stage
        self._rid = rid

    def open(
        self,
        position: str | None,  # noqa: ARG002  nothing can be undone
        *,
        fresh: bool = False,  # noqa: ARG002
        still: Callable[[], bool] = lambda: True,  # noqa: ARG002
    ) -> str:
        """Begin; standard output has no positions."""
        return ""

    def write(self, batch: Batch) -> Written:
        """Print one line per record."""
        lines, failures = json_lines(batch, rid=self._rid)
        if os.isatty(sys.stdout.fileno()):
            lines = _harmless(lines)
        sys.stdout.flush()
        # Bypasses Python's buffer: data left in it after its reader is gone fail again when the process
        # ends.
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(sys.stdout.fileno(), view) :]
        except OSError as exc:
            message = f"stage {self._stage!r}: standard output cannot be written: {exc.strerror}"
            raise SinkError(message, stage=self._stage) from exc
        return Written(failures=failures)

    def close(self) -> None:
        """Leave standard output open for others."""


def _harmless(lines: bytes) -> bytes:
    """Escape, as JSON does, what JSON allows but terminals act on: DEL, C1 controls, directions."""
    text = lines.decode()
    if text.replace("\n", "").isprintable():
        return lines
    shown = (char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
    return "".join(shown).replace("\x7f", "\\u007f").encode()
