"""Write settings: the common settings of all file sinks."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rsq_pipe.connectors.files.path_names import check_path
from rsq_pipe.connectors.files.unpacked import missing_for
from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.units import Duration, Size

Exists = Literal["error", "append", "replace"]


def checked_path(path: str) -> str:
    check_path(path)
    if missing := missing_for(path):
        raise ValueError(f".zst files need a package that is not installed; {missing}")
    return path


class Rotate(Settings):
    """When a part is finished, and the next is begun: whichever comes first."""

    size: Size | None = Field(default=None, gt=0, description="Size in bytes at which a part is finished.")
    every: Duration | None = Field(
        default=None, gt=0, description="Age at which a part is finished when the next records come."
    )

    records: int | None = Field(
        default=None,
        gt=0,
        description="The most records of a part; a stream entry that alone holds more becomes a part.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size is None and self.every is None and self.records is None:
            raise ValueError("it is never finished; write `size: 64MiB`, `every: 1h` or `records: 100000`")
        return self


class FileOptions(Settings):
    """Settings of a sink that writes one file."""

    path: Annotated[str, Field(min_length=1), AfterValidator(checked_path)] = Field(
        description="The file, relative to the project root. Missing folders are created. "
        "If its name ends in .gz, .bz2 or .zst, it is packed, each batch by itself."
    )
    exists: Exists = Field(
        default="error",
        description="What to do when the pipeline first writes and finds a file that is not empty: end "
        "with an error, append to it, or replace it. Later runs continue where the last one ended.",
    )
    rotate: Rotate | None = Field(
        default=None,
        description="Write parts, `orders-000001.jsonl` for `orders.jsonl`; each appears under its name when "
        "it is finished, and is then never changed. Default: one file.",
    )
    fsync: bool = Field(
        default=True,
        description="Force each batch to the disk before it counts. Without it a power failure may lose "
        "records; a crash of the process does not.",
    )
    rid: bool = rid_option()
