"""Options: the settings of the `postgres` source."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rsq_pipe.connectors.column_names import ColumnNames
from rsq_pipe.connectors.postgres.names import quoted
from rsq_pipe.connectors.postgres.options import Dsn, Table
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.units import Duration


class Options(Settings):
    """Read the rows of a table or query, and then each that is added or changed; extra `postgres`."""

    dsn: Dsn = Field(
        repr=False,
        description="The server: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, best from "
        "`${secret:NAME}`. It is never printed.",
    )
    table: Table | None = Field(
        default=None,
        description="The table, `orders` or `sales.orders`, as spelt in the database, without quotes.",
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        description="Instead of `table`, a query. It returns a column `xmin`, that of the table whose rows "
        "change: `select o.id, o.total, c.name, o.xmin from orders o join customers c on ...`; or it has "
        "`cursor` and `late`.",
    )
    key: ColumnNames = Field(min_length=1, description="The columns that identify rows: the primary key.")
    columns: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="The columns that records get. Default: all."
    )
    where: str | None = Field(
        default=None, min_length=1, description="An SQL condition for the rows to read."
    )
    cursor: str | None = Field(
        default=None,
        description="A column with the time of a row's last change, best with an index: rows whose value is "
        "older than the highest value read so far, by more than `late`, are not looked at again. Without it "
        "the whole table is looked at each time. For a query without `xmin`, it says which rows are new.",
    )
    late: Annotated[Duration, Field(gt=0)] = Field(
        default="1h",
        validate_default=True,
        description="For `cursor`: how much older a row's value may be than the highest value read so far, "
        "because its transaction took long. For a query without `xmin`: rows whose value is younger than "
        "this are left for the next look.",
    )
    every: Annotated[Duration, Field(ge=0.1)] | Literal["once"] = Field(
        default="once",
        description="How often to look for changes; `once` reads what is there, and the next run continues "
        "after that.",
    )
    timeout: Annotated[Duration, Field(ge=1)] = Field(
        default="30s", validate_default=True, description="How long the server may take for one statement."
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("it reads a `table` or a `query`; write one of them")
        return self

    @property
    def target(self) -> str:
        """The source's table or query, as a user would name it."""
        return f"postgres table {self.table}" if self.table else "postgres query"

    @property
    def origin(self) -> str:
        """The table or query, as written after FROM, named `t`."""
        if self.table:
            return f"{quoted(self.table)} t"
        return f"({(self.query or '').strip().rstrip(';')}\n) t"
