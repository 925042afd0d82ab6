"""ReadOptions: the settings of the source `objects`."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from rsq_pipe.connectors.files.unpacked import missing_for
from rsq_pipe.connectors.objects.formats import ending, format_of
from rsq_pipe.connectors.objects.read_formats import MODELS, ReadFormat, Short, file_options
from rsq_pipe.connectors.objects.settings import Address, StoreOptions
from rsq_pipe.connectors.table import SOURCES
from rsq_pipe.units import Duration


def _pattern(url: str) -> str:
    if "{" in Address.of(url).path:
        raise ValueError("a source takes `*`, `?`, `[...]` and `**`, no {part}: orders/**/*.jsonl.gz")
    if missing := missing_for(url):
        raise ValueError(f".zst files need a package of an extra; {missing}")
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
        description="What they hold: `jsonl`, `json`, `csv` or `parquet`, or a group with settings, `{type: "
        'csv, delimiter: ";"}`. Left out: what the pattern ends in.',
    )
    every: Duration | None = Field(
        default=None,
        gt=0,
        description="How often to look for new objects when all are read. Left out: the source ends.",
    )
    start_after: str | None = Field(
        default=None,
        min_length=1,
        description="Only objects are read whose names sort behind this: `orders/2026-01-01`.",
    )
    ordered: bool = Field(
        default=False,
        description="Whether new objects always sort behind those that are there, as names by date do. Then "
        "one position is stored, and only what sorts behind it is listed; an object that turns up "
        "before it is not read. Without it each object has a position, and there may be 100,000.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.reads is None:
            raise ValueError(
                f"`url` ends in {ending(self.url)[0]!r}, which is no format; end it in .jsonl, .json, .csv "
                "or .parquet, or set `format`"
            )
        if missing := SOURCES[self.reads.type].missing:
            raise ValueError(f"{self.reads.type} needs a package of an extra; {missing}")
        file_options(self.reads)
        return self

    @property
    def reads(self) -> Any:
        """The format, with its settings."""
        given: Any = self.format
        return given if given is not None else format_of(self.url, MODELS)
