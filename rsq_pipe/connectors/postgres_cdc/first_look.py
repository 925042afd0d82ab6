"""First look: checks whether a source could be read, and reads its first rows; the server is not changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.database import RowsError
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres_cdc.copying import arrival_of, rows_of
from rsq_pipe.connectors.postgres_cdc.mark import lsn_text
from rsq_pipe.connectors.postgres_cdc.options import Options
from rsq_pipe.connectors.postgres_cdc.published import published
from rsq_pipe.connectors.postgres_cdc.reading import connection_of
from rsq_pipe.connectors.postgres_cdc.records import Records, When
from rsq_pipe.connectors.postgres_cdc.replication import Replication
from rsq_pipe.connectors.postgres_cdc.slot import Slot
from rsq_pipe.connectors.postgres_cdc.types import Types
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.source import Chunk
from rsq_pipe.errors import SourceError


def reach(options: Options, seconds: float) -> str:
    """
    Connect, and check the publication, the slot and our rights.

    Raises:
        RefusedError, RowsError, TargetUnavailableError: Something is missing.
    """
    Replication(options.dsn, "rsq-pipe", seconds).close()
    with Connection(options.dsn, seconds).opened() as connection:
        published(connection, options.publication, options.tables)
        return Slot(connection, options.slot, "").reach()


class FirstRows:
    """
    Yield the first rows in the tables, as a snapshot sees them.

    Args:
        options: The source's settings.
        stage: For messages.
    """

    resumable = True

    def __init__(self, options: Options, stage: str) -> None:
        self._options = options
        self._stage = stage

    def shards(self) -> Sequence[str]:
        """Name the slot."""
        return [self._options.slot]

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:  # noqa: ARG002
        """Yield one chunk of each table."""
        try:
            with connection_of(self._options).opened() as connection:
                for table in published(connection, self._options.publication, self._options.tables):
                    names, types, rows = connection.raw(rows_of(table, None, size), ())
                    converters = Types(connection).of(types)
                    records = Records(table.title, names, converters, prefix=self._options.prefix)
                    when = When(lsn_text(0), None)
                    yield Chunk.of([arrival_of(records, table, row, when) for row in rows], "")
        except (RefusedError, RowsError, TargetUnavailableError) as exc:
            raise SourceError(
                f"stage {self._stage!r}: postgres publication {self._options.publication}: {exc}",
                stage=self._stage,
            ) from exc
