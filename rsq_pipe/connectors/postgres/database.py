"""PostgresDatabase: a table of PostgreSQL, and the sink's row of the ledger next to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar

from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.database import RefusedError, RowsError
from rsq_pipe.connectors.ledger.ledger import Row, shard_name, shard_of
from rsq_pipe.connectors.ledger.table_database import TableDatabase
from rsq_pipe.connectors.postgres.catalog import columns_of, created, exists
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

_Line = tuple[tuple[Column, ...], str]


class PostgresDatabase(TableDatabase):
    """
    Write rows by COPY; for `upsert` into a table of the session, and from there by key.

    Args:
        options: The sink's settings.
        pipeline, stage: The owner of the ledger's row.
    """

    has_savepoints: ClassVar[bool] = True
    _options: Options

    def __init__(self, options: Options, *, pipeline: str, stage: str) -> None:
        super().__init__(options, table=quoted(options.table), create=options.create)
        self._ledger = quoted(options.ledger_table)
        self._of = [pipeline, stage]
        self._key = [*self._of, options.table]
        shards = shard_name(options.table, "")
        self._all = [*self._of, options.table, shards, shards]
        self._connection = Connection(options.dsn, options.timeout)

    def connect(self) -> None:
        """Open the connection, and create the ledger if it does not exist."""
        self._connection.close()  # also after an error that the server knows nothing about
        self._connection.open()
        with self._connection.faults():
            if exists(self._connection, self._options.ledger_table):
                return
        try:
            with self._connection.transaction():
                self._connection.execute(_LEDGER.format(table=self._ledger))
        except (RefusedError, RowsError) as exc:
            with self._connection.faults():
                if exists(self._connection, self._options.ledger_table):
                    raise TargetBusyError("another process has just created the ledger") from exc
            made = " ".join(_LEDGER.format(table=self._ledger).split())
            raise RefusedError(f"the ledger cannot be created: {exc}; or have it created: {made}") from exc

    def transaction(self) -> AbstractContextManager[None]:
        """Run the block as one transaction."""
        return self._connection.transaction(_BEGIN)

    def savepoint(self) -> AbstractContextManager[None]:
        """Run the block within a transaction so that, if it fails, only the block is rolled back."""
        return self._connection.savepoint()

    def row(self) -> Row | None:
        """Read the sink's row, and lock it, whatever transaction its former writer was paused in."""
        self._end_former()
        self._end_paused()
        self._make(self._key)
        found = self._connection.execute(
            f"select epoch, seq, settled, carried, rids from {self._ledger}"  # noqa: S608
            " where (pipeline, stage, target) = (%s, %s, %s) for update",
            self._key,
        )
        return Row(*found[0]) if found else None

    def replace(self, row: Row) -> None:
        """Store the sink's row."""
        self._store(row, f", session = ({_SESSION})")

    def advance(self, row: Row) -> bool:
        """Store the sink's row, if the stored epoch is still this row's."""
        return self._store(row, "", f" and epoch = {row.epoch}")

    def take(self, shard: int) -> None:
        """Use the row of this shard from now on."""
        self._key = [*self._of, shard_name(self._options.table, shard)]

    def is_writer(self) -> bool:
        """Return whether this connection was the last to open the row."""
        return self._connection.execute(
            f"select session = ({_SESSION}) from {self._ledger}"  # noqa: S608
            " where (pipeline, stage, target) = (%s, %s, %s)",
            self._key,
        ) == [(True,)]

    def peers(self) -> dict[int, Row]:
        """Read the rows of all other shards there ever were."""
        return self._peers("")

    def lock_all(self) -> dict[int, Row]:
        """Read the same rows, and lock them and the first shard's, which is created if it does not exist."""
        self._end_paused()
        self._make([*self._of, self._options.table])
        return self._peers(" for update")

    def replace_peer(self, shard: int, row: Row) -> None:
        """Store the row of another shard."""
        self._store(row, "", key=[*self._of, shard_name(self._options.table, shard)])

    def changed(self) -> bool:
        """Read the columns again; return whether the table has others by now."""
        with self._connection.faults(), self._connection.transaction():
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
        with self._connection.faults():
            self.read_columns()

    def rows(self, records: Sequence[Any], rids: Sequence[str]) -> tuple[Sequence[Any], dict[int, Exception]]:
        """Format records as lines of COPY, each with the columns it fills."""
        columns = self._columns
        plain = columns.plain(records, with_rid=self._options.rid) if columns and records else None
        if plain is not None:
            filled, fields = plain
            lines = lines_at_once(filled, [[record[name] for record in records] for name in fields])
            if lines is not None:
                return [(filled, text) for text in lines], {}
        return super().rows(records, rids)

    def put(self, rows: Sequence[_Line]) -> None:
        """Write lines: a new COPY each time the columns they fill change."""
        with self._connection.faults():
            for columns, group in groupby(rows, key=itemgetter(0)):
                data = "".join([text + "\n" for _, text in group]).encode()
                names = [column.name for column in columns]
                if self._options.mode == "upsert":
                    self._upsert(names, data)
                else:
                    self._connection.copy(f"copy {self._table} ({listed(names)}) from stdin", data)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _fetch(self, sql: str) -> Sequence[Any]:
        return self._connection.execute(sql)

    def _table_columns(self) -> Sequence[Column] | None:
        return columns_of(self._connection, self._options.table)

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
        self._end_sessions("(pipeline, stage, target) = (%s, %s, %s)", self._key)

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
        self._connection.execute(
            f"insert into {self._ledger} (pipeline, stage, target, epoch, seq, settled, carried, rids)"  # noqa: S608
            " values (%s, %s, %s, 0, 0, 0, '[]', '[]') on conflict do nothing",
            key,
        )

    def _peers(self, lock: str) -> dict[int, Row]:
        found = self._connection.execute(
            f"select target, epoch, seq, settled, carried, rids from {self._ledger}"  # noqa: S608
            f" where {_ALL} order by target{lock}",
            self._all,
        )
        return {shard_of(name): Row(*values) for name, *values in found if name != self._key[2]}

    def _store(self, row: Row, more: str, condition: str = "", key: Sequence[str] = ()) -> bool:
        changed = self._connection.count(
            f"update {self._ledger} set epoch = %s, seq = %s, settled = %s, carried = %s, rids = %s,"  # noqa: S608
            f" written = now(){more} where (pipeline, stage, target) = (%s, %s, %s){condition}",
            [row.epoch, row.seq, row.settled, row.carried, row.rids, *(key or self._key)],
        )
        return changed == 1

    def _learn(self, table: Sequence[Column]) -> None:
        super()._learn(table)
        if self._options.mode == "upsert":
            self._connection.execute("drop table if exists pg_temp.rsq_pipe_batch")
            self._connection.execute(_STAGING.format(table=self._table))
            self._connection.execute(
                "alter table rsq_pipe_batch alter rsq_pipe_place set not null,"
                " alter rsq_pipe_place add generated always as identity"
            )
