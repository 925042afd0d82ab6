"""Faults: what a PostgreSQL server says, sorted by who can mend it."""

from __future__ import annotations

import re

import psycopg

from rsq_pipe.connectors.ledger.database import RefusedError, RowsError
from rsq_pipe.connectors.sink import TargetUnavailableError

_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist|not permitted"
)
"""What a server says while a client connects that no time mends; it gives no code there."""

_OF_ROWS = ("22", "23", "44", "54", "P0")
"""Classes of codes that speak of a value: of its type, a constraint, a view, a limit, a trigger's own."""

_AWAY = ("08", "40", "53", "57", "58")
"""Of the connection, a conflict with another transaction, resources, an operator, the system."""

_AWAY_TOO = ("25006", "25P03", "25P04", "55P03", "55006")
"""A standby, which may become the primary; transactions that took too long; locks."""

_FIXES = {
    "42501": "grant it to the user of `dsn`",
    "42P01": "make it, or mend the name",
    "42P10": "`mode: upsert` needs a unique index on exactly the columns of `key`",
    "42703": "",
    "25001": "",
}


def sorted_out(exc: psycopg.Error | OSError) -> Exception:
    """Make of it the error that says what to do: RowsError, RefusedError or TargetUnavailableError."""
    code = getattr(exc, "sqlstate", None) or ""
    what = said(exc)
    if code == "42501" and what.startswith("new row violates"):
        return RowsError(what)
    if code.startswith(_OF_ROWS):
        return RowsError(what)
    if code.startswith(_AWAY) or code in _AWAY_TOO:
        return TargetUnavailableError(what)
    if not code and isinstance(exc, psycopg.DataError):  # psycopg's own: a NUL in a text
        return RowsError(what)
    if not code and isinstance(exc, OSError | psycopg.OperationalError):
        return RefusedError(_login(what)) if _LOGIN.search(str(exc)) else TargetUnavailableError(what)
    fix = _FIXES.get(code, "")
    return RefusedError(f"{what}; {fix}" if fix else what)


def said(exc: BaseException) -> str:
    """Say in one line what the server said."""
    text = str(exc).strip() or type(exc).__name__
    if isinstance(exc, psycopg.Error) and exc.diag.message_primary:
        parts = [exc.diag.message_primary, exc.diag.message_detail]
        text = ": ".join(part for part in parts if part)
        column = re.search(r", column ([^:,]+)", exc.diag.context or "")
        if column and column[1] not in text:
            text += f" (column {column[1]})"
    return " ".join(text.split())


def _login(what: str) -> str:
    return f"{what}; mend `dsn`, or what it names"
