"""WriteOptions: what the sink `dlt` is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rsq_pipe.connectors.dlt.destinations import check_destination


class WriteOptions(BaseModel):
    """Settings of the `dlt` sink: a table of whatever dlt writes to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    destination: Annotated[str, AfterValidator(check_destination)] = Field(
        min_length=1, description="What dlt calls it: `duckdb`, `snowflake`, `bigquery`, `filesystem`."
    )
    credentials: Any = Field(
        default=None,
        repr=False,
        description="As dlt takes them: an address, `${secret:NAME}`, or a map; left out: where dlt looks "
        "for them.",
    )
    with_: dict[str, Any] = Field(
        default={},
        alias="with",
        description="Further arguments of the destination: `{bucket_url: s3://lake}`.",
    )
    dataset: str = Field(min_length=1, description="The dataset, or schema.")
    table: str = Field(min_length=1, description="The table; dlt makes it, and adds columns as they come.")
    mode: Literal["merge", "append"] = Field(
        default="merge",
        description="Replace the row that has the same `key`, so that each record stands there once; or "
        "append, and some a second time after a crash.",
    )
    key: tuple[str, ...] = Field(
        default=(),
        description="For `merge`, the fields of the key; left out: `rid`, the record's id, a column more.",
    )

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.key and self.mode == "append":
            raise ValueError("`key` is for `mode: merge`; set that, or leave it out")
        return self
