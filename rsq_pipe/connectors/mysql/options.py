"""Options: the settings of the `mysql` sink."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from rsq_pipe.connectors.ledger.options import LEDGER, TableOptions
from rsq_pipe.hosts import is_not_set
from rsq_pipe.units import Duration

LONGEST = 64
"""Maximum characters of a name."""

PORT = 3306


def _check_dsn(dsn: str) -> str:
    if is_not_set(dsn):
        return dsn
    parts = urlsplit(dsn)
    try:
        whole = parts.scheme in ("mysql", "mariadb") and parts.hostname and len(parts.path) > 1
        parts.port  # noqa: B018  it is parsed when it is accessed
    except ValueError:
        whole = False
    if not whole or {"/", "@"} & {*parts.path[1:]} or parts.query or parts.fragment:
        raise ValueError(
            "the address of the server is malformed; it is mysql://USER:PASSWORD@HOST:PORT/DATABASE"
        )
    return dsn


def _check_table(name: str) -> str:
    parts = name.split(".")
    if len(parts) > 2 or not all(parts):
        raise ValueError(f"{name!r} is not a table; write TABLE or DATABASE.TABLE")
    for part in parts:
        if any(sign in part for sign in "`\0") or len(part) > LONGEST:
            raise ValueError(f"{name!r} cannot be used as a table's name here; write it without quotes")
    return name


Table = Annotated[str, AfterValidator(_check_table)]


class Options(TableOptions):
    """Settings of the `mysql` sink: rows of a table of MySQL or MariaDB; extra `mysql`."""

    dsn: Annotated[str, AfterValidator(_check_dsn)] = Field(
        repr=False,
        description="The server: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`, best from `${secret:NAME}`; "
        "characters like `@` in a password are written `%40`. It is never printed.",
    )
    table: Table = Field(
        description="The table, `orders` or `sales.orders`, as spelt in the database, without quotes."
    )
    create: bool = Field(
        default=False,
        description="Create the table for the fields of the first record, if it does not exist: whole "
        "numbers are `bigint`, numbers `double`, true and false `boolean`, lists and objects `json`, the "
        "rest `longtext`, and `varchar(255)` in `key`, which is its primary key.",
    )
    types: dict[str, str] = Field(
        default={}, description="Column -> database type, for `create`, to override the type above."
    )
    ledger: Table | None = Field(
        default=None,
        description=f"The table of the ledger, created if it does not exist. Default: `{LEDGER}` in the "
        "database of `table`.",
    )
    tls: bool = Field(default=False, description="Connect by TLS, and check the server's certificate.")
    ca: str | None = Field(
        default=None,
        description="For `tls`, a file with the trusted authorities, relative to the project root.",
    )
    timeout: Annotated[Duration, Field(ge=1)] = Field(
        default="30s",
        validate_default=True,
        description="How long the server may take for one statement; a batch that takes longer is written "
        "again.",
    )

    @model_validator(mode="after")
    def _check_more(self) -> Self:
        if self.types and not self.create:
            raise ValueError("`types` are for `create: true`; set that, or leave them out")
        if self.ca and not self.tls:
            raise ValueError("`ca` is for `tls: true`; set that, or leave it out")
        return self

    @property
    def ledger_table(self) -> str:
        """The table of the ledger."""
        schema, dot, _ = self.table.rpartition(".")
        return self.ledger or f"{schema}{dot}{LEDGER}"

    @property
    def database(self) -> str:
        """The database of the address."""
        return unquote(urlsplit(self.dsn).path[1:])
