"""Source `postgres`: the rows of a table or query, and then each row that is added or changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rsq_pipe.connectors.endpoint import Endpoint, RefusedError, UnreachableError
from rsq_pipe.connectors.postgres.source_options import Options
from rsq_pipe.connectors.source import Chunk

__all__ = ["Options", "connect", "endpoint"]


def connect(options: Options, *, stage: str, root: Path) -> PostgresSource:  # noqa: ARG001  no files
    """Make the source of a stage; nothing is opened yet."""
    return PostgresSource(options, stage)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  no files
    """Return the table or query as an endpoint."""

    def reach(seconds: float) -> str:
        from rsq_pipe.connectors.postgres.changes import Changes  # noqa: PLC0415  an extra
        from rsq_pipe.connectors.postgres.reach import reach_table  # noqa: PLC0415  an extra

        if options.table is not None:
            reach_table(options.dsn, options.table, "select", seconds)
        try:
            Changes(options.model_copy(update={"timeout": seconds}), stage).check()
        except RefusedError as exc:
            fix = "; check `key`, `cursor`, `columns`, `where` and `query`"
            raise UnreachableError(str(exc) if ";" in str(exc) else f"{exc}{fix}") from exc
        return ""

    return Endpoint(options.target, reach)


class PostgresSource:
    """Yield rows of a table in the order of their keys, one window of transactions after another."""

    resumable = True

    def __init__(self, options: Options, stage: str) -> None:
        self._options = options
        self._stage = stage

    def shards(self) -> Sequence[str]:
        """Name the table, or the one query."""
        return [self._options.table or "query"]

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:  # noqa: ARG002  there is one
        """Yield rows added or changed since `position`."""
        from rsq_pipe.connectors.postgres.changes import Changes  # noqa: PLC0415  an extra

        return Changes(self._options, self._stage).read(position, size)
