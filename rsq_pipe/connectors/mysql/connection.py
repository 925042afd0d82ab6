"""Connection: to a MySQL-like server, with a time limit for every statement; errors by who can fix them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql

from rsq_pipe import error_text
from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.database import RowsError
from rsq_pipe.connectors.mysql.options import PORT, Options
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.extras import install

_CONNECT = 10
_LOCK = 5
"""Seconds to wait for a row that another transaction has locked."""

_IDLE = 10
"""Seconds after which MariaDB ends an idle transaction: its process was paused, or is cut off."""

_MODE = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
"""A value that does not fit is an error, and a backslash escapes, whatever the server's own mode."""

_UNKNOWN_SETTING = 1193

_OF_ROWS = frozenset(
    (
        *(1048, 1062, 1138, 1169, 1216, 1217, 1263, 1264, 1265, 1292, 1364, 1365, 1366, 1367, 1369, 1406),
        *(1411, 1416, 1451, 1452, 1525, 1526, 1557, 1586, 1644, 1690, 1748, 1761, 1762, 3140, 3141, 3156),
        *(3819, 4025, 4078),
    )
)
"""Codes about a value: its type, a constraint, a trigger's own error."""

_AWAY = frozenset(
    (
        *(1021, 1037, 1040, 1041, 1053, 1077, 1078, 1079, 1080, 1114, 1152, 1154, 1155, 1156, 1157, 1158),
        *(1159, 1160, 1161, 1180, 1203, 1205, 1206, 1213, 1226, 1290, 1317, 1613, 1614, 1637, 1792, 1836),
        *(1927, 1969, 2002, 2003, 2006, 2013, 2055, 3024, 3032, 3058, 3169, 4031),
    )
)
"""Codes about the connection, a conflict with another transaction, locks, resources, a replica."""

_FIXES = {
    1044: "grant it to the user of `dsn`",
    1045: "correct `dsn`",
    1049: "make it, or correct `dsn`",
    1095: "its former session is another user's: end that, or grant CONNECTION ADMIN to the user of `dsn`",
    1142: "grant it to the user of `dsn`",
    1143: "grant it to the user of `dsn`",
    1906: "remove it from `columns`",
    3105: "remove it from `columns`",
}


class Connection:
    """
    Talk to a server; dropped after the first error that is the server's.

    Args:
        options: The sink's settings.
        root: The project's folder.
        seconds: Maximum seconds for one statement; the server is told so if possible, and one that does not
            answer is abandoned after as long again.
    """

    def __init__(self, options: Options, root: Path, seconds: float) -> None:
        self._options = options
        self._root = root
        self._seconds = seconds
        self._open: pymysql.Connection[Any] | None = None

    def open(self) -> None:
        """
        Open a new connection.

        Raises:
            RefusedError, TargetUnavailableError: It fails.
        """
        self.close()
        parts = urlsplit(self._options.dsn)
        with self.faults():
            self._open = pymysql.connect(
                host=parts.hostname,
                port=parts.port or PORT,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                database=self._options.database,
                charset="utf8mb4",
                connect_timeout=_CONNECT,
                read_timeout=max(1, round(2 * self._seconds)),
                write_timeout=max(1, round(2 * self._seconds)),
                ssl=self._context(),
                autocommit=True,
                sql_mode=_MODE,
            )
            self.execute(f"set time_zone = '+00:00', innodb_lock_wait_timeout = {_LOCK}")
            self._limit()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, if it has any."""
        with self._cursor(sql, values) as cursor:
            return list(cursor.fetchall())

    def count(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        with self._cursor(sql, values) as cursor:
            return int(cursor.rowcount)

    @contextmanager
    def opened(self) -> Iterator[Connection]:
        """Open the connection for a block, and close it afterwards."""
        try:
            self.open()
            yield self
        finally:
            self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction; if it fails in any way, none of it is done."""
        with self._undone("begin", "commit", "rollback"):
            yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Run the block within a transaction; if it fails, none of it is done, and the rest stays."""
        with self._undone("savepoint trial", "release savepoint trial", "rollback to savepoint trial"):
            yield

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Translate the server's errors; if the server is unreachable, drop the connection."""
        try:
            yield
        except RuntimeError as exc:  # a package of the extra is missing
            raise RefusedError(f"{exc}; set `tls: true`, or install it: {install('mysql')}") from exc
        except (pymysql.Error, OSError) as exc:
            error = sorted_out(exc)
            if isinstance(error, TargetUnavailableError):
                self.close()
            raise error from exc

    def close(self) -> None:
        """Drop the connection."""
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(pymysql.Error, OSError):
                connection.close()

    @contextmanager
    def _cursor(self, sql: str, values: Sequence[Any]) -> Iterator[Any]:
        with self.faults():
            if self._open is None:
                raise pymysql.InterfaceError(0, "the connection is closed")
            with self._open.cursor() as cursor:
                cursor.execute(sql, values or None)
                yield cursor

    @contextmanager
    def _undone(self, begin: str, end: str, undo: str) -> Iterator[None]:
        self.execute(begin)
        try:
            yield
            self.execute(end)
        except BaseException:
            if self._open is not None:
                try:
                    with self._open.cursor() as cursor:
                        cursor.execute(undo)
                except (pymysql.Error, OSError):  # the server does so as the connection ends
                    self.close()
            raise

    def _limit(self) -> None:
        """Let the server end statements that take too long, and idle transactions, if it can: MariaDB."""
        assert self._open is not None
        try:
            with self._open.cursor() as cursor:
                cursor.execute(
                    f"set max_statement_time = {self._seconds:g}, idle_transaction_timeout = {_IDLE}"
                )
        except pymysql.Error as exc:
            if code_and_message(exc)[0] != _UNKNOWN_SETTING:
                raise

    def _context(self) -> ssl.SSLContext | None:
        if not self._options.tls:
            return None
        file = self._root / self._options.ca if self._options.ca else None
        try:
            return ssl.create_default_context(cafile=str(file) if file else None)
        except (OSError, ssl.SSLError) as exc:
            raise RefusedError(f"the file of `ca` cannot be used: {exc}; correct its path") from exc


def sorted_out(exc: Exception) -> Exception:
    """Translate it into an error that says what to do: RowsError, RefusedError or TargetUnavailableError."""
    code, what = code_and_message(exc)
    if isinstance(getattr(exc, "original_exception", None), ssl.SSLCertVerificationError):
        return RefusedError(f"{what}; name the authority that signed its certificate in `ca`")
    if code in _OF_ROWS or isinstance(exc, pymysql.IntegrityError | pymysql.DataError):
        return RowsError(what)
    if code in _AWAY or isinstance(exc, pymysql.InterfaceError | OSError) or not code:
        return TargetUnavailableError(what)
    fix = _FIXES.get(code)
    return RefusedError(f"{what}; {fix}" if fix else what)


def code_and_message(exc: BaseException) -> tuple[int, str]:
    """Return the code and, as one line, the server's message."""
    arguments = exc.args
    code = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    return code, " ".join(str(arguments[1]).split()) if len(arguments) > 1 else error_text.one_line(exc)
