"""PostgresDatabase: a table of PostgreSQL, and the sink's row of the ledger next to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.database import RowsError, SharedDatabase
from rsq_pipe.connectors.ledger.ledger import Row, shard_name, shard_of
from rsq_pipe.connectors.ledger.server_database import NEW_ROW, OWN, Line, ServerDatabase, no_ledger
from rsq_pipe.connectors.postgres.catalog import check_key, check_kind, columns_of, created, exists
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import listed, quoted
from rsq_pipe.connectors.postgres.options import Options
from rsq_pipe.connectors.postgres.text import line, lines_at_once
from rsq_pipe.connectors.sink import TargetBusyError

_LEDGER = """
create table {table} (
    pipeline text not null, stage text not null, target text not null,
    epoch bigint not null, seq bigint not null, settled bigint not null,
    carried text not null, rids text not null, written timestamptz not null default now(),
    session text not null default '',
    primary key (pipeline, stage, target)
) with (fillfactor = 50)
"""

# A constraint checked only at the commit would be reported for the whole batch, not for a row.
_BEGIN = "begin; set constraints all immediate"

_STAGING = (
    "create temporary table rsq_pipe_batch on commit delete rows"
    " as select *, null::bigint as rsq_pipe_place from {table} where false"
)

_SESSION = "select pid || ' ' || backend_start from pg_stat_activity where pid = pg_backend_pid()"

_ALL = "(pipeline, stage) = (%s, %s) and (target = %s or left(target, length(%s)) = %s)"
"""The rows of all shards."""

_PAUSED = (
    "and state = 'active' and wait_event_type = 'Client' and query_start < clock_timestamp() - %s::interval"
)


class PostgresDatabase(ServerDatabase, SharedDatabase):
    """
    Write rows by COPY; for `upsert` into a table of the session, and from there by key.

    Args:
        options: The sink's settings.
        pipeline, stage: The owner of the ledger's row.
    """

    noted: ClassVar[str] = ", written = now()"
    _options: Options
    _connection: Connection

    def __init__(self, options: Options, *, pipeline: str, stage: str) -> None:
        connection = Connection(options.dsn, options.timeout)
        super().__init__(options, connection, owner=(pipeline, stage), quoted=quoted)
        shards = shard_name(options.table, "")
        self._all = [*self._key, shards, shards]

    def connect(self) -> None:
        """Open the connection, and create the ledger if it does not exist."""
        self._connection.close()  # also after an error that the server knows nothing about
        self._connection.open()
        if exists(self._connection, self._options.ledger_table):
            return
        try:
            with self._connection.transaction():
                self._connection.execute(_LEDGER.format(table=self._ledger))
        except (RefusedError, RowsError) as exc:
            if exists(self._connection, self._options.ledger_table):
                raise TargetBusyError("another process has just created the ledger") from exc
            raise no_ledger(exc, " ".join(_LEDGER.format(table=self._ledger).split())) from exc

    def transaction(self) -> AbstractContextManager[None]:
        """Run the block as one transaction."""
        return self._connection.transaction(_BEGIN)

    def row(self) -> Row | None:
        """Read the sink's row, and lock it, whatever transaction its former writer was paused in."""
        self._end_former()
        self._end_paused()
        self._make(self._key)
        return self._locked_row()

    def replace(self, row: Row) -> None:
        """Store the sink's row."""
        self._store(row, f", session = ({_SESSION})")

    def take(self, shard: int) -> None:
        """Use the row of this shard from now on."""
        self._key = [*self._owner, shard_name(self._options.table, shard)]

    def is_writer(self) -> bool:
        """Return whether this connection was the last to open the row."""
        return self._connection.execute(
            f"select session = ({_SESSION}) from {self._ledger} where {OWN}",  # noqa: S608
            self._key,
        ) == [(True,)]

    def peers(self) -> dict[int, Row]:
        """Read the rows of all other shards there ever were."""
        return self._peers("")

    def lock_all(self) -> dict[int, Row]:
        """Read the same rows, and lock them and the first shard's, which is created if it does not exist."""
        self._end_paused()
        self._make([*self._owner, self._options.table])
        return self._peers(" for update")

    def replace_peer(self, shard: int, row: Row) -> None:
        """Store the row of another shard."""
        self._store(row, key=[*self._owner, shard_name(self._options.table, shard)])

    def changed(self) -> bool:
        """Read the columns again; return whether the table has others by now."""
        with self._connection.transaction():
            return super().changed()

    def ready(self, records: Sequence[Any]) -> None:
        """Create the table for records like these, if it does not exist."""
        if self._columns is not None:
            return
        try:
            with self._connection.transaction():
                created(self._connection, self._options, records)
        except RowsError as exc:  # the server's own catalog would have listed it twice
            raise TargetBusyError("another process has just created the table") from exc
        self.read_columns()

    def put(self, rows: Sequence[Line]) -> None:
        """Write lines: a new COPY each time the columns they fill change."""
        for columns, group in groupby(rows, key=itemgetter(0)):
            data = "".join([text + "\n" for _, text in group]).encode()
            names = [column.name for column in columns]
            if self._options.mode == "upsert":
                self._upsert(names, data)
            else:
                self._connection.copy(f"copy {self._table} ({listed(names)}) from stdin", data)

    def _table_columns(self) -> Sequence[Column] | None:
        return columns_of(self._connection, self._options.table)

    def _lines_at_once(self, columns: Sequence[Column], values: Sequence[Sequence[Any]]) -> list[str] | None:
        return lines_at_once(columns, values)

    def _line(self, columns: tuple[Column, ...], values: list[Any], record: Any) -> str:
        return line(columns, values, record)

    def _upsert(self, names: Sequence[str], data: bytes) -> None:
        """Insert or replace by key; if a batch has several rows with one key, the newest."""
        options, connection = self._options, self._connection
        connection.execute("delete from rsq_pipe_batch")
        connection.copy(f"copy rsq_pipe_batch ({listed(names)}) from stdin", data)
        version = listed([options.version]) if options.version else ""
        newest = f"{version} desc, " if version else ""
        order = f"{listed(options.key)}, {newest}rsq_pipe_place desc"
        replaced = [name for name in names if name not in options.key]
        action = f"update set {', '.join(f'{listed([n])} = excluded.{listed([n])}' for n in replaced)}"
        if version:
            action += f" where target.{version} is null or excluded.{version} >= target.{version}"
        connection.execute(
            f"insert into {self._table} as target ({listed(names)})"  # noqa: S608
            f" select {listed(names)} from (select distinct on ({listed(options.key)}) * from rsq_pipe_batch"
            f" order by {order}) as newest"
            f" on conflict ({listed(options.key)}) do {action if replaced else 'nothing'}"
        )

    def _end_former(self) -> None:
        """End the session of this row's former writer, if it still exists: it must not commit any more."""
        self._end_sessions(OWN, self._key)

    def _end_paused(self) -> None:
        """
        End the sessions of writers of other rows that were paused in the middle of a COPY.

        Such a session keeps its locks, which may be those of all rows, for as long as its process sleeps:
        the server does not apply its `statement_timeout` while it waits for the client. A session that is
        only slow is left alone.
        """
        self._end_sessions(_ALL, self._all, _PAUSED, f"{self._options.timeout}s")

    def _end_sessions(self, rows: str, values: Sequence[str], also: str = "", *more: str) -> None:
        self._connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"  # noqa: S608
            f" and pid || ' ' || backend_start in (select session from {self._ledger} where {rows}) {also}",
            [*values, *more],
        )

    def _make(self, key: Sequence[str]) -> None:
        """Create a row of the ledger if it does not exist."""
        sql = f"insert into {self._ledger} {NEW_ROW} on conflict do nothing"
        self._connection.execute(sql, key)

    def _peers(self, lock: str) -> dict[int, Row]:
        found = self._connection.execute(
            f"select target, epoch, seq, settled, carried, rids from {self._ledger}"  # noqa: S608
            f" where {_ALL} order by target{lock}",
            self._all,
        )
        return {shard_of(name): Row(*values) for name, *values in found if name != self._key[2]}

    def _learn(self, table: Sequence[Column]) -> None:
        super()._learn(table)
        check_kind(self._connection, self._options.table, copies=self._options.mode == "append")
        if self._options.mode == "upsert":
            check_key(self._connection, self._options.table, self._options.key)
            self._connection.execute("drop table if exists pg_temp.rsq_pipe_batch")
            self._connection.execute(_STAGING.format(table=self._table))
            self._connection.execute(
                "alter table rsq_pipe_batch alter rsq_pipe_place set not null,"
                " alter rsq_pipe_place add generated always as identity"
            )
