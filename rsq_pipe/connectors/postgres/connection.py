"""Connection: to PostgreSQL, with a time limit for every statement; errors sorted by who can fix them."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.database import RowsError
from rsq_pipe.connectors.sink import TargetUnavailableError

_CONNECT = 10
"""Maximum seconds for connecting, unless the address says otherwise."""

_IDLE = 10
"""Seconds after which the server ends an idle transaction: its process was paused."""

_KEEPALIVES = {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}
"""
Let the server end the session of a process that is gone without a word, after a minute at most.

By the system's own settings that takes two hours, for which a COPY would keep its locks: `statement_timeout`
does not end one that waits for its client.
"""

_LOCK = 5
"""Seconds to wait for a lock: another process is in a transaction, or was paused in one. If statements are
allowed fewer, half of that: of two limits that end together, the server would report the other."""

_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist|not permitted"
    r"|certificate verify failed|does not match host name|does not support SSL"
)
"""Messages of a server during connecting for which no retry helps; they come without a code."""

_OF_ROWS = ("22", "23", "44", "54", "P0")
"""Classes of codes about a value: its type, a constraint, a view, a limit, a trigger's own error."""

_OF_EXTENSIONS = ("42601", "XX000")
"""Errors of syntax, and internal ones: types such as hstore raise them for a value that they cannot read."""

_AWAY = ("08", "40", "53", "57", "58")
"""Codes about the connection, a conflict with another transaction, resources, an operator, the system."""

_AWAY_TOO = ("25006", "25P03", "25P04", "55P03", "55006")
"""A standby, which may become the primary; transactions that took too long; locks."""

_LOCKED = (
    "; another session holds the lock: `select pid, xact_start, query from pg_stat_activity where "
    "state <> 'idle' order by xact_start` lists the oldest first"
)

_FIXES = {
    "42501": "grant it to the user of `dsn`",
    "42P01": "make it, or correct the name",
    "42P10": "`mode: upsert` needs a unique index on exactly the columns of `key`",
    "42703": "",
    "25001": "",
}


class Connection:
    """
    Talk to a server; opened when first needed, and dropped after the first error that is the server's.

    All methods raise RowsError, RefusedError or TargetUnavailableError if the server fails.

    Args:
        dsn: The server's address.
        seconds: Maximum seconds for one statement; the server is told so, and one that does not answer is
            abandoned after as long again.
        options: Settings of the session, in the form of `options` in an address.
    """

    def __init__(self, dsn: str, seconds: float, options: str = "") -> None:
        self._dsn = dsn
        self._seconds = seconds
        self._options = options
        self._open: psycopg.Connection[Any] | None = None
        self._ran_out = False

    def open(self) -> None:
        """
        Connect, if there is no connection.

        Raises:
            RefusedError, TargetUnavailableError: It fails.
        """
        if self._open is not None and not self._open.closed:
            return
        given = psycopg.conninfo.conninfo_to_dict(self._dsn)
        with self._faults():
            self._open = psycopg.connect(
                self._dsn,
                autocommit=True,
                prepare_threshold=None,
                application_name=str(given.get("application_name", "rsq-pipe")),
                connect_timeout=int(given.get("connect_timeout") or _CONNECT),
                options=f"{given.get('options') or ''} {self._options}".strip() or None,
            )
            settings = self._limits() | _KEEPALIVES
            parts = [part for setting in settings.items() for part in setting]
            self.execute(f"select {', '.join(['set_config(%s, %s, false)'] * len(settings))}", parts)

    def execute(
        self, sql: str, values: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, if it has any."""
        with self._in_time() as connection:
            cursor = connection.execute(sql.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def raw(
        self, sql: str, values: Sequence[Any] | None
    ) -> tuple[list[str], list[int], list[list[bytes | None]]]:
        """Run a statement and return the names and types of its columns, and its rows as they were sent."""
        with self._in_time() as connection:
            cursor = connection.execute(sql.encode(), values)
            result, described = cursor.pgresult, cursor.description
            assert result is not None, "it gives rows"
            assert described is not None, "it gives rows"
            columns = range(result.nfields)
            rows = [[result.get_value(row, at) for at in columns] for row in range(result.ntuples)]
            return [one.name for one in described], [one.type_code for one in described], rows

    def described(self, sql: str) -> list[str]:
        """Have the server parse a query without running it, and return the names of its columns."""
        with self._in_time() as connection:
            wire = connection.pgconn
            for answer in (wire.prepare(b"", sql.encode()), wire.describe_prepared(b"")):
                if answer.status != psycopg.pq.ExecStatus.COMMAND_OK:
                    raise psycopg.errors.error_from_result(answer)
            return [(answer.fname(at) or b"").decode() for at in range(answer.nfields)]

    def count(self, sql: str, values: Sequence[Any]) -> int:
        """Run a statement and return how many rows it changed."""
        with self._in_time() as connection:
            return connection.execute(sql.encode(), values).rowcount

    def copy(self, sql: str, data: bytes) -> None:
        """Run a COPY."""
        with (
            self._in_time() as connection,
            connection.cursor() as cursor,
            cursor.copy(sql.encode()) as copy,
        ):
            copy.write(data)

    @contextmanager
    def opened(self) -> Iterator[Connection]:
        """Open the connection for a block, and close it afterwards."""
        try:
            self.open()
            yield self
        finally:
            self.close()

    @contextmanager
    def transaction(self, begin: str = "begin") -> Iterator[None]:
        """Run the block as one transaction; if it fails in any way, none of it is done."""
        with self._undone(begin, "commit", "rollback"):
            yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Run the block within a transaction; if it fails, none of it is done, and the rest stays."""
        undo = "rollback to savepoint trial; release savepoint trial"
        with self._undone("savepoint trial", "release savepoint trial", undo):
            yield

    def close(self) -> None:
        """Drop the connection."""
        connection, self._open, self._ran_out = self._open, None, False
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                connection.close()

    def _limits(self) -> dict[str, str]:
        """Return the limits of a statement, of a wait for a lock, and between two statements."""
        limits = {
            "statement_timeout": self._seconds,
            "lock_timeout": min(_LOCK, self._seconds / 2),
            "idle_in_transaction_session_timeout": min(_IDLE, self._seconds),
        }
        return {name: f"{round(seconds * 1000)}ms" for name, seconds in limits.items()}

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Translate the server's errors; if the server is unreachable, drop the connection."""
        try:
            yield
        except (psycopg.Error, OSError) as exc:
            error = sorted_out(exc)
            if self._ran_out:
                error = TargetUnavailableError(f"PostgreSQL did not answer within {2 * self._seconds:g}s")
            if isinstance(error, TargetUnavailableError):
                self.close()
            raise error from exc

    @contextmanager
    def _undone(self, begin: str, end: str, undo: str) -> Iterator[None]:
        self.execute(begin)
        try:
            yield
            self.execute(end)
        except BaseException:
            if self._open is not None and not self._open.closed:
                try:
                    self.execute(undo)
                except (RefusedError, RowsError, TargetUnavailableError):
                    self.close()  # the server does so as the connection ends
            raise

    @contextmanager
    def _in_time(self) -> Iterator[psycopg.Connection[Any]]:
        """Cut the connection if a statement takes too long although the server should have ended it."""
        with self._faults():
            connection = self._open
            if connection is None:
                raise psycopg.OperationalError("the connection is closed")
            timer = threading.Timer(2 * self._seconds, self._cut, [connection])
            timer.daemon = True
            timer.start()
            try:
                yield connection
            finally:
                timer.cancel()

    def _cut(self, connection: psycopg.Connection[Any]) -> None:
        self._ran_out = True
        with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)


def sorted_out(exc: psycopg.Error | OSError) -> Exception:
    """Translate it into an error that says what to do: RowsError, RefusedError or TargetUnavailableError."""
    code = getattr(exc, "sqlstate", None) or ""
    what = server_message(exc)
    if code == "42501" and what.startswith("new row violates"):
        return RowsError(what)
    if code.startswith(_OF_ROWS) or (code in _OF_EXTENSIONS and _column(exc)):
        return RowsError(what)
    if code.startswith(_AWAY) or code in _AWAY_TOO:
        return TargetUnavailableError(what + _LOCKED if code == "55P03" else what)
    if not code and isinstance(exc, psycopg.DataError):  # psycopg's own: a NUL in a text
        return RowsError(what)
    if not code and isinstance(exc, OSError | psycopg.OperationalError):
        return RefusedError(_login(what)) if _LOGIN.search(str(exc)) else TargetUnavailableError(what)
    fix = _FIXES.get(code, "")
    if "is a generated column" in what:  # with the code of a missing index
        what, fix = what.removesuffix("."), "remove it from `columns`"
    return RefusedError(f"{what}; {fix}" if fix else what)


def server_message(exc: BaseException) -> str:
    """Return the server's message as one line."""
    lines = [
        line for line in str(exc).splitlines() if not line.startswith("\t")
    ]  # libpq's guesses at the cause
    text = " ".join(lines).strip() or type(exc).__name__
    if isinstance(exc, psycopg.Error) and exc.diag.message_primary:
        parts = [exc.diag.message_primary, exc.diag.message_detail]
        text = ": ".join(part for part in parts if part)
        if (column := _column(exc)) and column not in text:
            text += f" (column {column})"
    return " ".join(text.split())


def _column(exc: BaseException) -> str:
    """Return the column whose value a COPY could not read; empty if it was something else."""
    context = exc.diag.context if isinstance(exc, psycopg.Error) else None
    column = re.search(r", column ([^:,]+)", context or "")
    return column[1] if column else ""


def _login(what: str) -> str:
    if "certificate verify failed" in what:
        return f"{what}; name the authority that signed it in `dsn`: sslrootcert=FILE"
    return f"{what}; correct `dsn`, or what it names"
