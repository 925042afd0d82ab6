"""Options: the settings of the `postgres` sink."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from rsq_pipe.connectors.ledger.options import check_writers, writers_option
from rsq_pipe.connectors.ledger.server_options import ServerOptions
from rsq_pipe.connectors.postgres.dsn import installed, wrong_dsn
from rsq_pipe.connectors.postgres.names import checked


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


class Options(ServerOptions):
    """Settings of the `postgres` sink: rows of a table; extra `postgres`."""

    dsn: Dsn = Field(
        repr=False,
        description="The server: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, best from "
        "`${secret:NAME}`. It is never printed.",
    )
    create: bool = Field(
        default=False,
        description="Create the table for the fields of the first record, if it does not exist: whole "
        "numbers are `bigint`, numbers `double precision`, true and false `boolean`, lists and objects "
        "`jsonb`, the rest `text`; `key` is its primary key.",
    )
    writers: int = writers_option()

    @model_validator(mode="after")
    def _check_writers(self) -> Self:
        check_writers(self, self.writers)
        return self

    @classmethod
    def check_table(cls, name: str) -> str:
        """
        Check the name of a table, with or without a schema.

        Raises:
            ValueError: It is not one.
        """
        return checked(name)
