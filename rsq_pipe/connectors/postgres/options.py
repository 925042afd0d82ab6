"""Options: the settings of the `postgres` sink."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from rsq_pipe.connectors.ledger.options import LEDGER, TableOptions, check_writers, writers_option
from rsq_pipe.connectors.postgres.dsn import installed, wrong_dsn
from rsq_pipe.connectors.postgres.names import checked
from rsq_pipe.units import Duration


def check_dsn(dsn: str) -> str:
    """
    Check the address of a server; it is never quoted.

    Raises:
        ValueError: It is malformed.
    """
    wrong = wrong_dsn(dsn) if installed("psycopg") else None  # the table of connectors reports it if not
    if wrong:
        raise ValueError("; ".join(wrong))
    return dsn


Dsn = Annotated[str, AfterValidator(check_dsn)]
Table = Annotated[str, AfterValidator(checked)]


class Options(TableOptions):
    """Settings of the `postgres` sink: rows of a table; extra `postgres`."""

    dsn: Dsn = Field(
        repr=False,
        description="The server: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, best from "
        "`${secret:NAME}`. It is never printed.",
    )
    table: Table = Field(
        description="The table, `orders` or `sales.orders`, as spelt in the database, without quotes."
    )
    create: bool = Field(
        default=False,
        description="Create the table for the fields of the first record, if it does not exist: whole "
        "numbers are `bigint`, numbers `double precision`, true and false `boolean`, lists and objects "
        "`jsonb`, the rest `text`; `key` is its primary key.",
    )
    types: dict[str, str] = Field(
        default={}, description="Column -> PostgreSQL type, for `create`, to override the type above."
    )
    ledger: Table | None = Field(
        default=None,
        description=f"The table of the ledger, created if it does not exist. Default: `{LEDGER}` in the "
        "schema of `table`.",
    )
    timeout: Annotated[Duration, Field(ge=1)] = Field(
        default="30s",
        validate_default=True,
        description="How long the server may take for one statement; a batch that takes longer is written "
        "again.",
    )

    writers: int = writers_option()

    @model_validator(mode="after")
    def _check_writers(self) -> Self:
        check_writers(self, self.writers)
        return self

    @model_validator(mode="after")
    def _check_types(self) -> Self:
        if self.types and not self.create:
            raise ValueError("`types` are for `create: true`; set that, or leave them out")
        return self

    @property
    def ledger_table(self) -> str:
        """The table of the ledger."""
        schema, dot, _ = self.table.rpartition(".")
        return self.ledger or f"{schema}{dot}{LEDGER}"
