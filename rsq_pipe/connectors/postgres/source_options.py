"""Options of the `postgres` source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rsq_pipe.connectors.postgres.options import Dsn, Table
from rsq_pipe.units import Duration


class Options(BaseModel):
    """Read the rows of a table, and then each that is added or changed; extra `postgres`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dsn: Dsn = Field(
        repr=False,
        description="The server: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, best from "
        "`${secret:NAME}`. It is never printed.",
    )
    table: Table = Field(
        description="The table, `orders` or `sales.orders`, as it is spelt in the database, without quotes."
    )
    key: tuple[str, ...] = Field(
        min_length=1, description="The columns by which rows are told apart: the primary key."
    )
    columns: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Those that records get. Left out: all."
    )
    where: str | None = Field(
        default=None, min_length=1, description="A condition in SQL for the rows that are read."
    )
    cursor: str | None = Field(
        default=None,
        description="A column with the time of a row's last change, best with an index: rows whose value is "
        "older than the highest that was read, by more than `late`, are not looked at again. Without it the "
        "whole table is looked at each time.",
    )
    late: Annotated[Duration, Field(gt=0)] = Field(
        default="1h",
        validate_default=True,
        description="For `cursor`: how much older a row's value may be than the highest that was read, since "
        "its transaction took long.",
    )
    every: Annotated[Duration, Field(ge=0.1)] | Literal["once"] = Field(
        default="once",
        description="How often to look for changes; `once` reads what there is, and the next run goes on "
        "there.",
    )
    timeout: Annotated[Duration, Field(ge=1)] = Field(
        default="30s", validate_default=True, description="How long the server may take for one statement."
    )
