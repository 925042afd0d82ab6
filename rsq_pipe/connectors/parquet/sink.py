"""Sink `parquet`: Parquet files, each complete when it appears."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.files.endpoints import writable
from rsq_pipe.connectors.files.file_sink import FileSink
from rsq_pipe.connectors.files.parts_target import PartsTarget
from rsq_pipe.connectors.files.write_settings import FileOptions, Rotate, checked_path
from rsq_pipe.connectors.parquet.rows import ColumnTypes, ExtraFields, Packed, RowLines
from rsq_pipe.connectors.parquet.writing import write_parquet
from rsq_pipe.connectors.sink import Written
from rsq_pipe.model.batch import Batch


def _is_plain(path: str) -> str:
    if not path.endswith(".parquet"):
        raise ValueError("the name of a Parquet file must end in .parquet")
    return path


class Options(FileOptions):
    """Settings of the `parquet` sink: parts, of which each becomes a Parquet file when it is finished."""

    path: Annotated[str, Field(min_length=1), AfterValidator(checked_path), AfterValidator(_is_plain)] = (
        Field(
            description="The files, relative to the project root: `out/orders.parquet` for "
            "`out/orders-000001.parquet` and those that follow. Missing folders are created.",
        )
    )
    rotate: Rotate = Field(
        default=Rotate.model_validate({"size": "64MiB"}),
        description="When a part is finished and appears. `size` counts bytes of JSON, before packing. "
        "The last part is finished when the run ends.",
    )
    columns: ColumnTypes = None
    extra: ExtraFields = "error"
    compression: Packed = "zstd"


def connect(options: Options, *, stage: str, root: Path) -> ParquetSink:
    """Make the sink of a stage; nothing is opened yet."""
    return ParquetSink(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return its files as an endpoint."""
    return writable(options.path, root=root)


class ParquetSink(FileSink):
    """Append records to a hidden file of JSON lines, each once, and make Parquet files from it."""

    def __init__(self, options: Options, *, stage: str, root: Path) -> None:
        super().__init__(PartsTarget(options, options.rotate, stage=stage, root=root, make=self._made))
        self._rows = RowLines(options.columns, options.extra, rid=options.rid)
        self._compression = options.compression

    def write(self, batch: Batch) -> Written:
        """Append one line per record; before that, turn a full part into a file."""
        self._file.roll(len(batch))
        lines, failures = self._rows.of(batch)
        if lines:
            self._file.append(lines, len(batch) - len(failures))
        return Written(self._file.position(), failures)

    def _made(self, lines: Path, to: Path) -> None:
        write_parquet(lines, to, self._rows.types, self._compression)
