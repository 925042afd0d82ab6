"""Source `json`: the records of a list that is a whole file, or is part of its one object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.files.endpoints import readable
from rsq_pipe.connectors.files.files import Files, FileSource
from rsq_pipe.connectors.files.line_reader import LineReader
from rsq_pipe.connectors.files.read_settings import ChunkBytes, FilePaths, Watch
from rsq_pipe.connectors.json.records import Records
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.errors import SourceError
from rsq_pipe.units import Size

Keys = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(
        lambda value: value.split(".") if isinstance(value, str) else value,
        json_schema_input_type=str | list[str],
    ),
]


class Options(Settings):
    """Settings of the `json` source: files that are one list of objects, or one object with a list in it."""

    path: FilePaths
    watch: Watch = False
    records: Keys = Field(
        default=(),
        description="Where the list is in a file that is one object: `data.items`, or a list of keys if one "
        "of them contains a dot. Default: the file is the list.",
    )
    max_record: Size = Field(
        default="1MiB",
        validate_default=True,
        gt=0,
        description="The longest record in bytes. A longer one becomes a dead letter that holds its first "
        "64 KiB.",
    )
    chunk_bytes: ChunkBytes = Field(default="1MiB", validate_default=True)


def connect(options: Options, *, stage: str, root: Path) -> JsonSource:
    """Make the source of a stage; nothing is opened yet."""
    return JsonSource(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
    """Return its files as an endpoint."""
    return readable(options.path, stage=stage, root=root, watch=options.watch)


class JsonSource(FileSource):
    """Yield the objects of a list; an item that is not an object becomes a broken arrival."""

    def __init__(self, options: Options, *, stage: str, root: Path) -> None:
        self._options = options
        self._stage = stage
        super().__init__(
            Files(
                options.path,
                root=root,
                stage=stage,
                max_line=options.max_record,
                final=True,
                watch=options.watch,
            )
        )

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """Yield the records after `position`."""
        with self._files.opened(shard) as reader:
            reader.unit = "record"
            if position:
                reader.resume(position)
            records = Records(shard, reader, self._options.records)
            pending: list[Arrival] = []
            end = begin = (records.offset, reader.line)
            try:
                if not position and not records.begin():
                    reader.log("warning", "the file is empty: there is no record in it")
                    return
                for arrival in records.arrivals():
                    pending.append(arrival)
                    end = (records.offset, reader.line)
                    if len(pending) >= size or end[0] - begin[0] >= self._options.chunk_bytes:
                        yield Chunk.of(pending, reader.position(*end))
                        pending, begin = [], end
                        reader.check()
            except ValueError as exc:
                if pending:
                    yield Chunk.of(pending, reader.position(*end))
                raise self._error(reader, exc) from exc
            except SourceError:
                if pending:
                    yield Chunk.of(pending, reader.position(*end))
                raise
            if pending:
                yield Chunk.of(pending, reader.position(*end))
            reader.check()

    def _error(self, reader: LineReader, exc: ValueError) -> SourceError:
        after = f" past record {reader.line:,}" if reader.line else ""
        return SourceError(f"file {reader.name} cannot be read{after}: {exc}", stage=self._stage)
