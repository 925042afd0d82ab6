"""Source `parquet`: the rows of Parquet files."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import Field

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.files.endpoints import readable
from rsq_pipe.connectors.files.files import Files, FileSource
from rsq_pipe.connectors.files.notice import notice
from rsq_pipe.connectors.files.read_settings import FilePaths, Watch
from rsq_pipe.connectors.parquet.arrow_values import wrong_columns
from rsq_pipe.connectors.parquet.uuids import uuids_of
from rsq_pipe.connectors.parquet.values import Rows, records
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.connectors.source import Chunk
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import SourceError

_MAGIC = b"PAR1"
_SMALLEST = 12
_TAIL_BYTES = 4096  # include the footer's end: its offsets, and the number of rows


class Options(Settings):
    """Settings of the `parquet` source."""

    path: FilePaths
    watch: Watch = False
    columns: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="The columns to read. Default: all."
    )


def connect(options: Options, *, stage: str, root: Path) -> ParquetSource:
    """Make the source of a stage; nothing is opened yet."""
    return ParquetSource(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
    """Return its files as an endpoint."""
    return readable(options.path, stage=stage, root=root, watch=options.watch)


class _Place(Struct, frozen=True):
    """Identify a row of a file: the rows before it, and what identifies the file."""

    row: int
    size: int
    crc: int

    @classmethod
    def parse(cls, text: str) -> _Place:
        row, size, crc = text.split(":")
        return cls(int(row), int(size), int(crc, 16))

    def __str__(self) -> str:
        return f"{self.row}:{self.size}:{self.crc:08x}"


class ParquetSource(FileSource):
    """Yield the rows of Parquet files; one that no record can hold becomes a broken arrival."""

    def __init__(self, options: Options, *, stage: str, root: Path) -> None:
        self._options = options
        self._stage = stage
        super().__init__(
            Files(options.path, root=root, stage=stage, max_line=1, final=True, watch=options.watch)
        )

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """Yield the rows after `position`."""
        path, name = self._files.path(shard), self._files.name(shard)
        begin = self._begin(path, name, position)
        if begin is None:
            return
        row, uuids = 0, uuids_of(_footer(path))
        for batch in self._batches(shard, path, name, size):
            behind = row + batch.num_rows
            if behind > begin.row:
                first = max(0, begin.row - row)
                found, broken = self._records(batch.slice(first), shard, row + first, name, uuids)
                offsets = [f"{shard}:{row + first + place + 1}" for place, _ in found]
                place = _Place(behind, begin.size, begin.crc)
                yield Chunk([record for _, record in found], offsets, str(place), broken)
            row = behind

    def _begin(self, path: Path, name: str, position: str) -> _Place | None:
        """Read a file's metadata, and find where to begin in it; None if it is empty."""
        try:
            _check_file(path)
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _TAIL_BYTES))
                crc = zlib.crc32(file.read())
        except (OSError, ValueError) as exc:
            raise self._unreadable(name, exc) from exc
        if not size:
            notice("warning", "the file is empty: there is no record in it", self._stage, name)
            return None
        now = _Place(0, size, crc)
        if not position:
            return now
        try:
            before = _Place.parse(position)
        except ValueError as exc:
            message = f"file {name}: {position!r} is not a stored position (use --fresh to start over)"
            raise SourceError(message, stage=self._stage) from exc
        if (before.size, before.crc) != (size, crc):
            message = (
                f"file {name} is not the file that was read up to row {before.row}: it ends differently "
                "(use --fresh to start over, or give the new file another name)"
            )
            raise SourceError(message, stage=self._stage)
        return before

    def _records(
        self, rows: Any, shard: str, before: int, name: str, uuids: Mapping[str, Sequence[bool]]
    ) -> Rows:
        try:
            return records(rows, shard, before, name, uuids)
        except BaseException as exc:
            if not _is_fault_of_library(exc):
                raise
            raise self._unreadable(name, exc) from exc

    def _batches(self, shard: str, path: Path, name: str, size: int) -> Iterator[Any]:
        wanted = self._options.columns
        try:
            with path.open("rb") as file, self._files.amount.reading(shard, file.fileno()):
                batches = _library().read_parquet(file, batch_size=size)
                self._check_columns(name, batches.schema)
                for batch in batches:
                    yield batch.select(list(wanted)) if wanted else batch
        except (SourceError, GeneratorExit):
            raise
        except BaseException as exc:
            if not _is_fault_of_library(exc):
                raise
            raise self._unreadable(name, exc) from exc

    def _check_columns(self, name: str, schema: Any) -> None:
        names: Sequence[str] = schema.names
        missing = next((one for one in self._options.columns or () if one not in names), None)
        if missing is not None:
            raise self._unreadable(name, ValueError(f"it has no column {missing!r}, but {', '.join(names)}"))
        if wrong := wrong_columns(schema, self._options.columns):
            raise self._unreadable(name, ValueError(wrong))

    def _unreadable(self, name: str, exc: BaseException) -> SourceError:
        why = wording(exc) if isinstance(exc, Exception) else "it is damaged"
        return SourceError(f"file {name} cannot be read: {why}", stage=self._stage)


def _is_fault_of_library(exc: BaseException) -> bool:
    """Return whether it is an error, or a panic of the library's Rust code, which is not an Exception."""
    return isinstance(exc, Exception) or type(exc).__name__ == "PanicException"


def _footer(path: Path) -> bytes:
    """Read the metadata at the end of a file, which was checked; nothing if it is gone by now."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, os.SEEK_END)
        return file.read(length)
    return b""


def _library() -> Any:
    """Import the library; whether it is installed was checked along with the file."""
    from arro3 import io  # noqa: PLC0415  imported where it is needed

    return io


def _check_file(path: Path) -> None:
    """
    Check that a file that is not empty is a Parquet file; the library panics otherwise.

    Raises:
        ValueError: It is not one, or is incomplete.
        OSError: It cannot be read.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is not a regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return
        begins = file.read(4)
        file.seek(max(0, size - 8))
        footer = file.read(8)
    if begins != _MAGIC:
        raise ValueError("it is not a Parquet file")
    length = int.from_bytes(footer[:4], "little")
    if size < _SMALLEST or footer[4:] != _MAGIC or length > size - _SMALLEST:
        raise ValueError("it is not a whole Parquet file: it may still be written, or is damaged")
