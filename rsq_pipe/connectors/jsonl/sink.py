"""Sink `jsonl`: one JSON object per line, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.files.endpoints import writable
from rsq_pipe.connectors.files.file_sink import FileSink, target
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
    """Return its file as an endpoint."""
    return writable(options.path, root=root)


class JsonlSink(FileSink):
    """Append records to a JSON Lines file, each once."""

    as_rows: ClassVar[bool] = True

    def __init__(self, options: Options, *, stage: str, root: Path) -> None:
        super().__init__(target(options, stage=stage, root=root))
        self._rid = options.rid

    def write(self, batch: Batch) -> Written:
        """Append one line per record."""
        self._file.roll(len(batch))
        lines, failures = json_lines(batch, rid=self._rid)
        if lines:
            self._file.append(lines, len(batch) - len(failures))
        return Written(self._file.position(), failures)
