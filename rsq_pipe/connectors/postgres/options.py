"""Options of the `postgres` sink."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rsq_pipe.connectors.ledger.columns import Extra, Missing
from rsq_pipe.connectors.ledger.sink import Fresh
from rsq_pipe.connectors.postgres.dsn import installed, wrong_dsn
from rsq_pipe.connectors.postgres.names import checked
from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.units import Duration

LEDGER = "rsq_pipe_ledger"


def check_dsn(dsn: str) -> str:
    """
    Check the address of a server; it is never quoted.

    Raises:
        ValueError: It is none.
    """
    wrong = wrong_dsn(dsn) if installed("psycopg") else None  # the table says so where it is not
    if wrong:
        raise ValueError("; ".join(wrong))
    return dsn


Dsn = Annotated[str, AfterValidator(check_dsn)]
Table = Annotated[str, AfterValidator(checked)]


class Options(BaseModel):
    """Settings of the `postgres` sink: rows of a table; extra `postgres`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dsn: Dsn = Field(
        repr=False,
        description="The server: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, best from "
        "`${secret:NAME}`. It is never printed.",
    )
    table: Table = Field(
        description="The table, `orders` or `sales.orders`, as it is spelt in the database, without quotes."
    )
    mode: Literal["append", "upsert"] = Field(
        default="append",
        description="Insert each record, or insert it where no row has its `key` and else replace what that "
        "row holds.",
    )
    key: tuple[str, ...] = Field(
        default=(),
        description="For `upsert`, the columns by which a row is found; the table needs a unique index on "
        "them. A record in which one has no value is a failure.",
    )
    version: str | None = Field(
        default=None,
        description="For `upsert`, a column that says which of two is newer: a row is replaced only by one "
        "whose value is not lower. Without it the one that comes last stays.",
    )
    columns: dict[str, str] | None = Field(
        default=None,
        min_length=1,
        description="Column -> field, where not all columns are written, or fields have other names. Left "
        "out: each column from the field of its name.",
    )
    extra: Extra = Field(
        default="error",
        description="What a record is that has a field without a column: a failure, or written without it.",
    )
    missing: Missing = Field(
        default="error",
        description="What a record is that lacks a column's field: a failure, or written with null. A column "
        "that has a default, or counts up, gets its own value either way.",
    )
    create: bool = Field(
        default=False,
        description="Make the table, with the first batch, if it is not there: whole numbers are `bigint`, "
        "numbers `double precision`, true and false `boolean`, lists and objects `jsonb`, all else `text`; "
        "`key` is its primary key.",
    )
    types: dict[str, str] = Field(
        default={}, description="Column -> PostgreSQL type, for `create` where it is to be another."
    )
    ledger: Table | None = Field(
        default=None,
        description=f"The table of the ledger, made if it is not there. Left out: `{LEDGER}` in the schema "
        "of `table`.",
    )
    fresh: Fresh = Field(
        default="error",
        description="What `--fresh` does when the table holds rows: end with an error, write behind them, or "
        "delete all of them first.",
    )
    timeout: Annotated[Duration, Field(ge=1)] = Field(
        default="30s",
        validate_default=True,
        description="How long the server may take for one statement; a batch that took longer is written "
        "again.",
    )
    rid: bool = rid_option()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mode == "upsert" and not self.key:
            raise ValueError("`mode: upsert` needs `key`; write `key: [COLUMN]`")
        if self.mode == "append" and (self.key or self.version):
            raise ValueError("`key` and `version` are for `mode: upsert`; set that, or leave them out")
        if self.types and not self.create:
            raise ValueError("`types` are for `create: true`; set that, or leave them out")
        return self

    @property
    def ledger_table(self) -> str:
        """The table of the ledger."""
        schema, dot, _ = self.table.rpartition(".")
        return self.ledger or f"{schema}{dot}{LEDGER}"
