"""Options: the settings of the `mysql` sink."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from rsq_pipe.connectors.ledger.server_options import ServerOptions
from rsq_pipe.hosts import is_not_set

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


class Options(ServerOptions):
    """Settings of the `mysql` sink: rows of a table of MySQL or MariaDB; extra `mysql`."""

    dsn: Annotated[str, AfterValidator(_check_dsn)] = Field(
        repr=False,
        description="The server: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`, best from `${secret:NAME}`; "
        "characters like `@` in a password are written `%40`. It is never printed.",
    )
    create: bool = Field(
        default=False,
        description="Create the table for the fields of the first record, if it does not exist: whole "
        "numbers are `bigint`, numbers `double`, true and false `boolean`, lists and objects `json`, the "
        "rest `longtext`, and `varchar(255)` in `key`, which is its primary key.",
    )
    tls: bool = Field(default=False, description="Connect by TLS, and check the server's certificate.")
    ca: str | None = Field(
        default=None,
        description="For `tls`, a file with the trusted authorities, relative to the project root.",
    )

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.ca and not self.tls:
            raise ValueError("`ca` is for `tls: true`; set that, or leave it out")
        return self

    @classmethod
    def check_table(cls, name: str) -> str:
        """
        Check the name of a table, with or without a database.

        Raises:
            ValueError: It is not one.
        """
        parts = name.split(".")
        if len(parts) > 2 or not all(parts):
            raise ValueError(f"{name!r} is not a table; write TABLE or DATABASE.TABLE")
        for part in parts:
            if any(sign in part for sign in "`\0") or len(part) > LONGEST:
                raise ValueError(f"{name!r} cannot be used as a table's name here; write it without quotes")
        return name

    @property
    def database(self) -> str:
        """The database of the address."""
        return unquote(urlsplit(self.dsn).path[1:])
