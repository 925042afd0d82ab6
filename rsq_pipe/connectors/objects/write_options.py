"""WriteOptions: the settings of the sink `objects`."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from rsq_pipe.connectors.column_names import ColumnNames
from rsq_pipe.connectors.files.unpacked import missing_for
from rsq_pipe.connectors.files.write_settings import Exists
from rsq_pipe.connectors.objects.formats import Short, WriteFormat, ending, format_of
from rsq_pipe.connectors.objects.naming import Naming
from rsq_pipe.connectors.objects.settings import Address, StoreOptions
from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.connectors.sink import Gather
from rsq_pipe.connectors.table import SINKS
from rsq_pipe.units import Duration, Size

_ALL = 1_000_000  # records of a part if no number is given: as many as the stream above may hold


def _template(url: str) -> str:
    Address.of(url)
    if missing := missing_for(url):
        raise ValueError(f".zst files need a package that is not installed; {missing}")
    return url


class RotateObjects(Settings):
    """When a part is written: whichever comes first."""

    records: int | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="The most records of a part. Default, and upper limit: half of the pipeline's "
        "`max_backlog`.",
    )
    size: Size = Field(
        default="64MiB",
        validate_default=True,
        gt=0,
        description="Size of its records, as stored in the stream, at which a part is written.",
    )
    every: Duration = Field(
        default="10s",
        validate_default=True,
        gt=0,
        description="How long a record waits for others at most, before its part is written.",
    )

    @property
    def gather(self) -> Gather:
        """How much is collected for one part."""
        return Gather(self.records or _ALL, self.every, self.size)


class WriteOptions(StoreOptions):
    """Settings of the `objects` sink: parts in a bucket, each seen when it is whole, and never changed."""

    url: Annotated[str, AfterValidator(_template)] = Field(
        description="The parts: `s3://lake/orders/{date}/{part}.jsonl.gz`, or gs://, or az:// with a "
        "container. `{part}` is an increasing number; `{date}` and `{hour}` say when a part was begun, "
        "in UTC. If the name ends in .gz, .bz2 or .zst, the part is packed."
    )
    partition_by: ColumnNames = Field(
        default=(),
        max_length=8,
        description="Fields of the records whose values are in the name of their part: `partition_by: "
        "country` with `s3://lake/country={country}/{part}.jsonl`. A batch becomes a part for each value.",
    )
    max_partitions: int = Field(
        default=500,
        gt=0,
        le=5000,
        description="Maximum number of parts of one batch, with `partition_by`; more end the run.",
    )
    format: Annotated[WriteFormat | None, Short] = Field(
        default=None,
        description="The format of a part: `jsonl`, `csv` or `parquet`, or a group with settings, `{type: "
        "parquet, columns: {id: int}}`. Default: by the ending of the name.",
    )
    rotate: RotateObjects = Field(default=RotateObjects(), description="How large a part is, and how old.")
    exists: Exists = Field(
        default="error",
        description="What to do when the pipeline first writes and finds parts with such names: end with an "
        "error, continue after the highest number, or delete them. Later runs continue where the last ended.",
    )
    rid: bool = rid_option()

    @model_validator(mode="after")
    def _check(self) -> Self:
        Naming(Address.of(self.url).path, self.partition_by)
        name, packing = ending(self.url)
        format_: Any = self.format or format_of(self.url)
        if format_ is None:
            raise ValueError(
                f"`url` ends in {name!r}, which is not a format; end it in .jsonl, .csv or .parquet, or set "
                "`format`"
            )
        if missing := SINKS[format_.type].missing:
            raise ValueError(f"{format_.type} needs a package that is not installed; {missing}")
        if format_.type == "parquet" and packing:
            raise ValueError(f"Parquet is packed by itself; leave out {packing}")
        columns = {"parquet": "columns", "csv": "fields"}.get(format_.type)
        if self.partition_by and columns and not getattr(format_, columns):
            raise ValueError(
                f"with `partition_by` a part may have no records, so its columns must be known; write "
                f"`format: {{type: {format_.type}, {columns}: ...}}`"
            )
        return self
