"""ReadOptions: the settings of the source `objects`, and of the formats it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from rsq_pipe.connectors.csv.read_options import Options as CsvOptions
from rsq_pipe.connectors.files.unpacked import missing_for
from rsq_pipe.connectors.json.source import Options as JsonOptions
from rsq_pipe.connectors.jsonl.source import Options as JsonlOptions
from rsq_pipe.connectors.objects.formats import as_group, ending, format_of, group, without
from rsq_pipe.connectors.objects.settings import Address, StoreOptions
from rsq_pipe.connectors.parquet.source import Options as ParquetOptions
from rsq_pipe.connectors.table import SOURCES
from rsq_pipe.units import Duration

_OF_FILES = dict.fromkeys(("path", "final", "follow", "watch"))
EVERYTHING = ("**",)
"""The pattern for the folder that an object is copied into."""

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
    Build the settings of the file source that reads the copies.

    Raises:
        ValueError: They contradict each other.
    """
    given = {name: getattr(settings, name) for name in settings.model_fields_set - {"type"}}
    final = {"final": True} if settings.type in {"jsonl", "csv"} else {}
    return _OPTIONS[settings.type](path=EVERYTHING, **given, **final)


def _pattern(url: str) -> str:
    if "{" in Address.of(url).path:
        raise ValueError("a source takes `*`, `?`, `[...]` and `**`, no {part}: orders/**/*.jsonl.gz")
    if missing := missing_for(url):
        raise ValueError(f".zst files need a package that is not installed; {missing}")
    return url


class ReadOptions(StoreOptions):
    """Settings of the `objects` source."""

    url: Annotated[str, AfterValidator(_pattern)] = Field(
        description="The objects: `s3://lake/orders/**/*.jsonl.gz`, or gs://, or az:// with a container. "
        "`*`, `?` and `[...]` match within a part of the name, `**` any number of parts; .gz, .bz2 and .zst "
        "are unpacked."
    )
    format: Annotated[ReadFormat | None, Short] = Field(
        default=None,
        description="Their format: `jsonl`, `json`, `csv` or `parquet`, or a group with settings, `{type: "
        'csv, delimiter: ";"}`. Default: by the ending of the pattern.',
    )
    every: Duration | None = Field(
        default=None,
        gt=0,
        description="How often to look for new objects when all are read. Default: the source ends.",
    )
    start_after: str | None = Field(
        default=None,
        min_length=1,
        description="Read only objects whose names sort after this: `orders/2026-01-01`.",
    )
    ordered: bool = Field(
        default=False,
        description="Whether new objects always sort after existing ones, as names by date do. Then one "
        "position is stored, and only what sorts after it is listed; an object that turns up "
        "before it is not read. Otherwise each object has a position, and there may be 100,000.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.reads is None:
            raise ValueError(
                f"`url` ends in {ending(self.url)[0]!r}, which is not a format; "
                "end it in .jsonl, .json, .csv or .parquet, or set `format`"
            )
        if missing := SOURCES[self.reads.type].missing:
            raise ValueError(f"{self.reads.type} needs a package that is not installed; {missing}")
        file_options(self.reads)
        return self

    @property
    def reads(self) -> Any:
        """The format, with its settings."""
        given: Any = self.format
        return given if given is not None else format_of(self.url, MODELS)
