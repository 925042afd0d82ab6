"""Faults: what a server of MySQL's kind says, sorted by who can mend it."""

from __future__ import annotations

import pymysql

from rsq_pipe import error_text
from rsq_pipe.connectors.ledger.database import RefusedError, RowsError
from rsq_pipe.connectors.sink import TargetUnavailableError

_OF_ROWS = frozenset(
    (
        *(1048, 1062, 1138, 1169, 1216, 1217, 1263, 1264, 1265, 1292, 1364, 1365, 1366, 1367, 1369, 1406),
        *(1411, 1416, 1451, 1452, 1525, 1557, 1586, 1644, 1690, 1748, 1761, 1762, 3140, 3141, 3156, 3819),
        *(4025, 4078),
    )
)
"""Codes that speak of a value: of its type, a constraint, a trigger's own."""

_AWAY = frozenset(
    (
        *(1021, 1037, 1040, 1041, 1053, 1077, 1078, 1079, 1080, 1114, 1152, 1154, 1155, 1156, 1157, 1158),
        *(1159, 1160, 1161, 1180, 1203, 1205, 1206, 1213, 1226, 1290, 1317, 1613, 1614, 1637, 1792, 1836),
        *(1927, 1969, 2002, 2003, 2006, 2013, 2055, 3024, 3032, 3058, 3169, 4031),
    )
)
"""Of the connection, a conflict with another transaction, locks, resources, an operator, a replica."""

_FIXES = {
    1044: "grant it to the user of `dsn`",
    1045: "mend `dsn`",
    1049: "make it, or mend `dsn`",
    1095: "its former session is another user's: end that, or grant CONNECTION ADMIN to the user of `dsn`",
    1142: "grant it to the user of `dsn`",
    1143: "grant it to the user of `dsn`",
}


def sorted_out(exc: Exception) -> Exception:
    """Make of it the error that says what to do: RowsError, RefusedError or TargetUnavailableError."""
    code, what = said(exc)
    if code in _OF_ROWS or isinstance(exc, pymysql.IntegrityError | pymysql.DataError):
        return RowsError(what)
    if code in _AWAY or isinstance(exc, pymysql.InterfaceError | OSError) or not code:
        return TargetUnavailableError(what)
    fix = _FIXES.get(code)
    return RefusedError(f"{what}; {fix}" if fix else what)


def said(exc: BaseException) -> tuple[int, str]:
    """Tell the code and, in one line, what the server said."""
    arguments = exc.args
    code = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    return code, " ".join(str(arguments[1]).split()) if len(arguments) > 1 else error_text.said(exc)
