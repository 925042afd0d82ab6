"""Looking up: the verb of a lookup, by where its table is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.stages.lookup import HttpRef, Lookup, PostgresRef, RedisRef
from rsq_pipe.verbs.lookup import FileLookup
from rsq_pipe.verbs.server_lookup import ServerLookup
from rsq_pipe.verbs.verb import Verb

if TYPE_CHECKING:
    from rsq_pipe.streams.client import StreamClient


def looking_up(stage: Stage, root: Path, client: StreamClient | None) -> Verb:
    """
    Build the verb of a `lookup` stage; nothing is opened yet.

    Args:
        stage: The stage.
        root: The project root.
        client: The pipeline's server.
    """
    lookup: Lookup = stage.options
    table = lookup.table
    # Each client is loaded where it is used: it takes time, and may not be installed.
    if isinstance(table, RedisRef):
        from rsq_pipe.verbs.tables.redis_table import RedisTable  # noqa: PLC0415

        return ServerLookup(stage, RedisTable(table, client))
    if isinstance(table, PostgresRef):
        from rsq_pipe.verbs.tables.postgres_table import PostgresTable  # noqa: PLC0415

        return ServerLookup(stage, PostgresTable(table, lookup.by, tuple(lookup.fields)))
    if isinstance(table, HttpRef):
        from rsq_pipe.verbs.tables.http_table import HttpTable  # noqa: PLC0415

        return ServerLookup(stage, HttpTable(table))
    return FileLookup(stage.name, stage.options, root)
