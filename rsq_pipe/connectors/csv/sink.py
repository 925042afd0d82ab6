"""Sink `csv`: one row per record, under a header, in a file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from rsq_pipe.connectors.csv.encoding import Encoding
from rsq_pipe.connectors.csv.rows import Extra, Formulas, Missing, named_in
from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.files.endpoints import writable
from rsq_pipe.connectors.files.file_sink import FileSink, target
from rsq_pipe.connectors.files.write_settings import FileOptions
from rsq_pipe.connectors.record_id import FIELD
from rsq_pipe.connectors.sink import Written
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch

_HEADER_BYTES = 1 << 20


class Options(FileOptions):
    """Settings of the `csv` sink: RFC 4180 with a header line, in UTF-8, lines ended by a newline."""

    delimiter: str = Field(
        default=",",
        pattern=r'^[^"\r\n]$',
        description='The character between two fields: `";"`, or `"\\t"` for tabs.',
    )
    formulas: Formulas = Field(
        default="keep",
        description="What to do with text that a spreadsheet would run as a formula because it begins with "
        "`=`, `+`, `-`, `@`, a tab or a carriage return: nothing, or with `escape` write an apostrophe "
        "before it. Numbers stay as they are.",
    )
    fields: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="The columns, in order. Default: the fields of the first record.",
    )
    extra: Extra = Field(
        default="error",
        description="What happens to a record with a field that has no column: it fails, or is written "
        "without it.",
    )
    missing: Missing = Field(
        default="error",
        description="What happens to a record without a column's field: it fails, or is written with an "
        "empty one.",
    )


def connect(options: Options, *, stage: str, root: Path) -> CsvSink:
    """Make the sink of a stage; nothing is opened yet."""
    return CsvSink(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return its file as an endpoint."""
    return writable(options.path, root=root)


class CsvSink(FileSink):
    """Append records to a csv file, each once."""

    as_rows: ClassVar[bool] = True

    def __init__(self, options: Options, *, stage: str, root: Path) -> None:
        super().__init__(target(options, stage=stage, root=root))
        self._options = options
        self._stage = stage
        self._encoding = Encoding(options, rid=options.rid)
        self._fields = self._encoding.given

    def open(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> str:
        """Lock the file, cut off what follows `position`, and read its header."""
        found = super().open(position, fresh=fresh, still=still)
        self._fields = self._header() if self._file.length else self._encoding.given
        return found

    def write(self, batch: Batch) -> Written:
        """Append one row per record, under a header if they are the first."""
        self._file.roll(len(batch))
        rows, failures, fields = self._encoding.rows(batch, self._fields, header=not self._file.length)
        if len(failures) < len(batch):
            self._file.append(rows, len(batch) - len(failures))
            self._fields = fields
        return Written(self._file.position(), failures)

    def _header(self) -> tuple[str, ...]:
        """Read the columns of a file that already exists; they stay."""
        text = self._file.read_head(_HEADER_BYTES).decode(errors="replace")
        delimiter = self._options.delimiter
        header = tuple(next(csv.reader(text.splitlines(keepends=True), delimiter=delimiter)))
        if self._options.formulas == "escape":
            header = tuple(map(named_in, header))
        wanted = "those of `fields`" if self._encoding.given not in (None, header) else ""
        if self._options.rid and FIELD not in header:
            wanted = "`rid`"
        if wanted:
            self._file.close()
            message = (
                f"stage {self._stage!r}: file {self.target} has the columns {', '.join(header)}, "
                f"not {wanted}; move it away, or use --fresh to write it again"
            )
            raise SinkError(message, stage=self._stage)
        return header
