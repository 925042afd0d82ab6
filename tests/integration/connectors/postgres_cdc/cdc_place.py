"""A table with changes, for the tests of postgres_cdc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rsq_pipe.connectors.source import Arrival, Chunk, Source
from rsq_pipe.connectors.table import connector
from tests.support.postgres import PostgresServer


class Place:
    """A table, its publication, and a slot."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.sources: list[Any] = []
        self.table = self.slot = self.publication = name.replace("-", "_")
        server.execute(f"create table {self.table} (id bigint primary key, v bigint)")
        server.execute(f"create publication {self.publication} for table {self.table}")

    def source(self, *, stage: str = "read", **settings: Any) -> Source:
        """Make the source as a new process would."""
        found = connector("source", "postgres_cdc")
        given = {"dsn": self.server.dsn, "publication": self.publication, "slot": self.slot, "until": "end"}
        options = found.options(**{**given, **settings})
        made: Source = found.made(options, pipeline="p", stage=stage, root=Path())
        self.sources.append(made)
        return made

    def close(self) -> None:
        """Close what is left open."""
        for source in self.sources:
            source.close()

    def read(self, position: str = "", size: int = 100, **settings: Any) -> tuple[list[Arrival], str]:
        """Read to the end, with everything stored."""
        source, arrivals = self.source(**settings), []
        for chunk in source.read(self.slot, position, size):
            arrivals += chunk.arrivals
            position = stored(chunk)
        source.close()  # type: ignore[attr-defined]
        return arrivals, position

    def execute(self, sql: str) -> list[Any]:
        return self.server.execute(sql.replace("TABLE", self.table))


def stored(chunk: Chunk) -> str:
    assert chunk.settled is not None
    chunk.settled(True)  # noqa: FBT003  as the runner calls it
    return chunk.position


def data(arrivals: list[Arrival]) -> list[dict[str, Any]]:
    return [arrival.data or {} for arrival in arrivals]
