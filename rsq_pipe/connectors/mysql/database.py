"""MysqlDatabase: a table of MySQL or MariaDB, and the sink's row of the ledger next to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.database import RowsError
from rsq_pipe.connectors.ledger.ledger import Row
from rsq_pipe.connectors.ledger.server_database import NEW_ROW, Line, ServerDatabase, no_ledger
from rsq_pipe.connectors.mysql.catalog import check_key, columns_of, created, exists, listed, quoted
from rsq_pipe.connectors.mysql.connection import Connection
from rsq_pipe.connectors.mysql.options import Options
from rsq_pipe.connectors.mysql.values import line, lines_at_once
from rsq_pipe.connectors.sink import TargetBusyError
from rsq_pipe.errors import EncodeError

_LEDGER = (
    "create table if not exists {table} (pipeline varchar(190) not null, stage varchar(190) not null,"
    " target varchar(190) not null, epoch bigint not null, seq bigint not null, settled bigint not null,"
    " carried longtext not null, rids longtext not null,"
    " written timestamp not null default current_timestamp on update current_timestamp,"
    " primary key (pipeline, stage, target)) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin"
)
_WAIT = 2
"""Seconds to wait for the session of a former writer to end."""

_STATEMENT = 1_000_000
"""Maximum characters of one INSERT, approximately."""


class MysqlDatabase(ServerDatabase):
    """
    Write rows with multi-row INSERTs, in one transaction with the ledger's row.

    A writer's session holds a named lock of the server, by which its successor finds it and ends it.

    Args:
        options: The sink's settings.
        pipeline, stage: The owner of the ledger's row.
        root: The project's folder.
    """

    _options: Options
    _connection: Connection

    def __init__(self, options: Options, *, pipeline: str, stage: str, root: Path) -> None:
        super().__init__(
            options, Connection(options, root, options.timeout), owner=(pipeline, stage), quoted=quoted
        )
        own = "\0".join([options.database, *self._key])
        self._lock = f"rsq-pipe {hashlib.sha256(own.encode()).hexdigest()[:48]}"
        self._longest = 0

    def connect(self) -> None:
        """Open the connection, and create the ledger if it does not exist."""
        connection = self._connection
        connection.open()
        self._longest = int(connection.execute("select @@max_allowed_packet")[0][0]) - 10_000
        if exists(connection, self._options.ledger_table):
            return
        try:
            connection.execute(_LEDGER.format(table=self._ledger))
        except (RefusedError, RowsError) as exc:
            raise no_ledger(exc, _LEDGER.format(table=self._ledger)) from exc

    def transaction(self) -> AbstractContextManager[None]:
        """Run the block as one transaction."""
        return self._connection.transaction()

    def row(self) -> Row | None:
        """Read the sink's row, and lock it, whatever transaction its former writer was paused in."""
        self._end_former()
        self._connection.execute(f"insert ignore into {self._ledger} {NEW_ROW}", self._key)
        return self._locked_row()

    def ready(self, records: Sequence[Any]) -> None:
        """Create the table for records like these, if it does not exist."""
        if self._columns is None:
            created(self._connection, self._options, records)
            self.read_columns()

    def put(self, rows: Sequence[Line]) -> None:
        """Insert rows, or replace those with the same keys."""
        for columns, group in groupby(rows, key=itemgetter(0)):
            names = [column.name for column in columns]
            for lines in _portions([text for _, text in group]):
                sql = f"insert into {self._table} ({listed(names)}) values {','.join(lines)}"  # noqa: S608
                self._connection.execute(sql + self._replacing(names))

    def _table_columns(self) -> Sequence[Column] | None:
        return columns_of(self._connection, self._options.table)

    def _lines_at_once(self, columns: Sequence[Column], values: Sequence[Sequence[Any]]) -> list[str] | None:
        lines = lines_at_once(columns, values)
        return lines if lines is not None and max(map(len, lines)) <= self._longest // 4 else None

    def _line(self, columns: tuple[Column, ...], values: list[Any], record: Any) -> str:
        text = line(columns, values, record)
        if len(text) > self._longest // 4 and len(text.encode()) > self._longest:
            raise EncodeError(
                "it is larger than a statement may be: max_allowed_packet of the server", record
            )
        return text

    def _replacing(self, names: Sequence[str]) -> str:
        """Build the update of an existing row. Columns are set in order, so `version` comes last."""
        options = self._options
        if options.mode == "append":
            return ""
        version = listed([options.version]) if options.version else ""
        others = [listed([name]) for name in names if name not in options.key] or [listed(options.key[:1])]
        sets = []
        for name in sorted(others, key=lambda name: name == version):
            value = f"values({name})"
            if version:
                value = f"if({version} is null or values({version}) >= {version}, {value}, {name})"
            sets.append(f"{name} = {value}")
        return f" on duplicate key update {', '.join(sets)}"

    def _end_former(self) -> None:
        """
        End the session of the former writer, if it still exists, and mark this one as the writer's.

        Otherwise one that was paused in the middle of a batch would keep the row locked.
        """
        [(holder, own)] = self._connection.execute("select is_used_lock(%s), connection_id()", [self._lock])
        if holder is not None and holder != own:
            with _gone():
                self._connection.execute(f"kill {int(holder)}")
        if self._connection.execute("select get_lock(%s, %s)", [self._lock, _WAIT]) != [(1,)]:
            raise TargetBusyError("the session of its former writer has not ended yet")

    def _learn(self, table: Sequence[Column]) -> None:
        super()._learn(table)
        if self._options.mode == "upsert":
            check_key(self._connection, self._options)


@contextmanager
def _gone() -> Iterator[None]:
    """Ignore that a session has already ended."""
    try:
        yield
    except RefusedError as exc:
        if "Unknown thread id" not in str(exc):
            raise


def _portions(lines: Sequence[str]) -> Iterator[Sequence[str]]:
    """Divide the rows of a batch into statements of no more than about a megabyte."""
    begin, size = 0, 0
    for at, text in enumerate(lines):
        if size and size + len(text) > _STATEMENT:
            yield lines[begin:at]
            begin, size = at, 0
        size += len(text)
    if lines:
        yield lines[begin:]
