"""Formats to read: what objects hold, with the settings of the sources of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field

from rsq_pipe.connectors.csv.read_options import Options as CsvOptions
from rsq_pipe.connectors.json.source import Options as JsonOptions
from rsq_pipe.connectors.jsonl.source import Options as JsonlOptions
from rsq_pipe.connectors.objects.formats import as_group, group, without
from rsq_pipe.connectors.parquet.source import Options as ParquetOptions

_OF_FILES = dict.fromkeys(("path", "final", "follow", "watch"))
EVERYTHING = ("**",)
"""What is read of the folder that an object was copied into."""

ReadJsonl = group("ReadJsonl", "jsonl", "One JSON object a line.", without(JsonlOptions, _OF_FILES))
ReadJson = group("ReadJson", "json", "A list of objects.", without(JsonOptions, _OF_FILES))
ReadCsv = group("ReadCsv", "csv", "Rows under a header.", without(CsvOptions, _OF_FILES))
ReadParquet = group("ReadParquet", "parquet", "Rows of Parquet.", without(ParquetOptions, _OF_FILES))

if TYPE_CHECKING:
    ReadFormat: TypeAlias = BaseModel
else:
    ReadFormat = Annotated[ReadJsonl | ReadJson | ReadCsv | ReadParquet, Field(discriminator="type")]
Short = BeforeValidator(
    as_group, json_schema_input_type=ReadFormat | Literal["jsonl", "json", "csv", "parquet"]
)

MODELS: dict[str, type[BaseModel]] = {
    "jsonl": ReadJsonl,
    "json": ReadJson,
    "csv": ReadCsv,
    "parquet": ReadParquet,
}
_OPTIONS: dict[str, type[BaseModel]] = {
    "jsonl": JsonlOptions,
    "json": JsonOptions,
    "csv": CsvOptions,
    "parquet": ParquetOptions,
}


def file_options(settings: Any) -> BaseModel:
    """
    Make the settings of the source of files that reads what was copied.

    Raises:
        ValueError: They do not go together.
    """
    given = {name: getattr(settings, name) for name in settings.model_fields_set - {"type"}}
    final = {"final": True} if settings.type in {"jsonl", "csv"} else {}
    return _OPTIONS[settings.type](path=EVERYTHING, **given, **final)
