"""Formats: the file format of parts, and the encoding of their records."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, create_model

from rsq_pipe.connectors.csv.encoding import Encoding
from rsq_pipe.connectors.csv.sink import Options as CsvOptions
from rsq_pipe.connectors.files.unpacked import SUFFIXES, packed
from rsq_pipe.connectors.files.write_settings import FileOptions
from rsq_pipe.connectors.jsonl.json_lines import json_lines
from rsq_pipe.connectors.parquet.rows import RowLines
from rsq_pipe.connectors.parquet.sink import Options as ParquetOptions
from rsq_pipe.connectors.parquet.writing import write_parquet
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.model.batch import Batch


def without(options: type[BaseModel], left_out: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a file's connector, without those for its path."""
    fields = options.model_fields.items()
    return {name: (field.annotation, field) for name, field in fields if name not in left_out}


def group(name: str, type_: str, doc: str, fields: dict[str, Any]) -> type[BaseModel]:
    """Make a group of settings that is identified by its `type`."""
    type_field: Any = (Literal[type_], Field(description="The format."))
    made: type[BaseModel] = create_model(name, __base__=Settings, __doc__=doc, type=type_field, **fields)
    return made


JsonlFormat = group("JsonlFormat", "jsonl", "One JSON object a line.", {})
_OF_FILES = FileOptions.model_fields
CsvFormat = group("CsvFormat", "csv", "Rows under a header.", without(CsvOptions, _OF_FILES))
ParquetFormat = group(
    "ParquetFormat", "parquet", "Parquet, of stated columns or others.", without(ParquetOptions, _OF_FILES)
)


def as_group(value: object) -> object:
    """Accept the name of a format for the format without settings."""
    return {"type": value} if isinstance(value, str) else value


if TYPE_CHECKING:
    WriteFormat: TypeAlias = BaseModel
else:
    WriteFormat = Annotated[JsonlFormat | CsvFormat | ParquetFormat, Field(discriminator="type")]
Short = BeforeValidator(as_group, json_schema_input_type=WriteFormat | Literal["jsonl", "csv", "parquet"])

_MODELS: dict[str, type[BaseModel]] = {"jsonl": JsonlFormat, "csv": CsvFormat, "parquet": ParquetFormat}
_CONTENT = {"jsonl": "application/x-ndjson", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
_PACKED = {".gz": "application/gzip", ".bz2": "application/x-bzip2", ".zst": "application/zstd"}


def ending(path: str) -> tuple[str, str]:
    """Return a file's format by its name, and how it is packed; empty if the name has no known suffix."""
    suffix = next((one for one in SUFFIXES if path.endswith(one)), "")
    return path.removesuffix(suffix).rpartition(".")[2], suffix


def format_of(path: str, known: Mapping[str, type[BaseModel]] = _MODELS) -> BaseModel | None:
    """Choose the format of a name's suffix, without settings."""
    name = ending(path)[0]
    name = "jsonl" if name == "ndjson" else name
    return known[name](type=name) if name in known else None


class Writing:
    """
    Make the bytes of parts.

    Args:
        settings: The format, with its settings.
        path: The template of the parts' names: its suffix says whether they are packed.
        rid: Whether each record is written with its record id.
    """

    def __init__(self, settings: Any, path: str, *, rid: bool) -> None:
        self._settings = settings
        self._path = path
        self._rid = rid
        self._type: str = settings.type
        self._csv = Encoding(settings, rid=rid) if self._type == "csv" else None
        rows = (settings.columns, settings.extra) if self._type == "parquet" else (None, "error")
        self._rows = RowLines(*rows, rid=rid)

    @property
    def content(self) -> str:
        """The media type of a part."""
        return _PACKED.get(ending(self._path)[1], _CONTENT[self._type])

    def of(self, batch: Batch) -> tuple[bytes, dict[int, Exception]]:
        """Make a part; report records that cannot be written: place -> why."""
        if self._csv is not None:
            data, failures, _ = self._csv.rows(batch, self._csv.given, header=True)
        elif self._type == "parquet":
            data, failures = self._rows.of(batch)
            data = self._parquet(data) if data else b""
        else:
            data, failures = json_lines(batch, rid=self._rid)
        if len(failures) == len(batch):
            return b"", failures
        return packed(self._path, data), failures

    def nothing(self) -> bytes:
        """Make a part without records; its columns are those that are given."""
        data = b""
        if self._csv is not None:
            data, _, _ = self._csv.rows(Batch([], [], []), self._csv.given, header=True)
        elif self._type == "parquet":
            data = self._parquet(b"")
        return packed(self._path, data)

    def _parquet(self, lines: bytes) -> bytes:
        file = io.BytesIO()
        write_parquet(lines, file, self._rows.types, self._settings.compression)
        return file.getvalue()
