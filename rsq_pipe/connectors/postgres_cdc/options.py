"""Options: the settings of the `postgres_cdc` source."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rsq_pipe.connectors.postgres.options import Dsn, Table
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.units import Duration

FIELDS = ("op", "table", "change", "lsn", "commit_time", "old", "unchanged")
"""Fields of a record about its change, in addition to the columns."""


def _check_slot(name: str) -> str:
    if not re.fullmatch("[a-z0-9_]{1,63}", name):
        raise ValueError(f"{name!r} is not a slot name; write lower case letters, digits and _, at most 63")
    return name


class Options(Settings):
    """Read each change of tables, as PostgreSQL commits it; extra `postgres`."""

    dsn: Dsn = Field(
        repr=False,
        description="The server: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, best from "
        "`${secret:NAME}`. It is never printed. Its user needs the right REPLICATION.",
    )
    publication: str = Field(
        min_length=1,
        max_length=63,
        description="The publication whose tables are read: `create publication NAME for table ...`.",
    )
    slot: Annotated[str, AfterValidator(_check_slot)] = Field(
        description="The replication slot, used only by this source; created if it does not exist. The "
        "server keeps what was not read yet for as long as the slot exists.",
    )
    tables: tuple[Table, ...] | None = Field(
        default=None,
        min_length=1,
        description="The tables of the publication to read: `orders` (in the schema `public`) or "
        "`sales.orders`. Default: all.",
    )
    snapshot: Literal["initial", "never"] = Field(
        default="initial",
        description="What comes before the changes: the existing rows of the tables, or nothing.",
    )
    until: Literal["never", "end"] = Field(
        default="never",
        description="`end`: read what was committed when the source began, and end; the next run continues "
        "there. `never`: wait for more.",
    )
    prefix: str = Field(
        default="",
        pattern="^[A-Za-z0-9_]*$",
        description=f"What the names of the fields {', '.join(f'`{name}`' for name in FIELDS)} begin with, "
        "in case a column has one of these names.",
    )
    timeout: Annotated[Duration, Field(ge=1)] = Field(
        default="30s",
        validate_default=True,
        description="How long the server may take for one statement, or be silent, before the source "
        "reconnects.",
    )
