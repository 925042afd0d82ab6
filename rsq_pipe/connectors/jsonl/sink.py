"""Sink `jsonl`: one JSON object a line, in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.files.endpoints import writable
from rsq_pipe.connectors.files.held_file import HeldFile
from rsq_pipe.connectors.files.targets import target
from rsq_pipe.connectors.files.write_settings import FileOptions
from rsq_pipe.connectors.jsonl.json_lines import json_lines
from rsq_pipe.connectors.sink import Written
from rsq_pipe.model.batch import Batch


class Options(FileOptions):
    """Settings of the `jsonl` sink: one JSON object a line, in UTF-8."""


def connect(options: Options, *, stage: str, root: Path) -> JsonlSink:
    """Make the sink of a stage; nothing is opened yet."""
    return JsonlSink(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Name its file."""
    return writable(options.path, root=root)


class JsonlSink:
    """Append records to a JSON Lines file, each once."""

    guarantee: ClassVar[Literal["exactly-once", "at-least-once"]] = "exactly-once"
    exclusive: ClassVar[bool] = True

    def __init__(self, options: Options, *, stage: str, root: Path) -> None:
        self._rid = options.rid
        self._file = target(options, stage=stage, root=root)
        self.target = self._file.name
        self.most = self._file.most

    def open(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> str:
        """Lock the file, and cut off what stands behind `position`."""
        self._file.open(position, fresh=fresh, still=still)
        return self._file.position()

    def write(self, batch: Batch) -> Written:
        """Append one line per record."""
        self._file.roll(len(batch))
        lines, failures = json_lines(batch, rid=self._rid)
        if lines:
            self._file.append(lines, len(batch) - len(failures))
        return Written(self._file.position(), failures)

    def stored(self) -> None:
        """Take note that all that was written is acknowledged."""
        self._file.stored()

    def held(self, position: str) -> HeldFile:
        """Compare the file with a stored position."""
        return self._file.held(position)

    def close(self) -> None:
        """Unlock the file."""
        self._file.close()
