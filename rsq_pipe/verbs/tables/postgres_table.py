"""PostgresTable: rows of a query that is run for many keys at once."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import date, time
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, TypeAlias, TypeVar

import psycopg

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.spec.stages.lookup import PostgresRef
from rsq_pipe.suggestion import suggest
from rsq_pipe.verbs.tables.keys import Key, key_text
from rsq_pipe.verbs.tables.remote_table import Answer

_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist|not permitted"
)
"""Messages of a server during connecting for which no retry helps; they come without a code."""

_CLOSE_TIMEOUT = 1.0
"""Seconds that an interrupted query gets to end."""

_NUMBERS = (20, 21, 23, 700, 701, 1700)
_TEXTS = (19, 25, 1043)
_PADDED, _UUID = 1042, 2950
"""Types of columns, by number: whole numbers, floats and numeric; name, text and varchar; char(8); uuid."""

T = TypeVar("T")
Parts: TypeAlias = tuple[str, ...]


class PostgresTable:
    """
    Query a PostgreSQL server over its own connection, opened with the first batch and again after it breaks.

    Args:
        of: The server and the query.
        by: The columns that hold the key.
        columns: The columns that records get; none for all.
    """

    def __init__(self, of: PostgresRef, by: tuple[str, ...], columns: Sequence[str] = ()) -> None:
        self._of = of
        self._by = by
        self._columns = columns
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def fetch(self, keys: Sequence[Key], seconds: float) -> Mapping[Key, Answer]:
        """Query all keys at once; if one does not fit its column's type, query the others without it."""
        async with asyncio.timeout(seconds):
            return await self._found(keys)

    async def _found(self, keys: Sequence[Key]) -> Mapping[Key, Answer]:
        askable = [key for key in keys if _can_be_sent(key)]
        if not askable:
            return {}
        try:
            return await self._ask(askable)
        except (psycopg.ProgrammingError, psycopg.NotSupportedError) as exc:
            raise RefusedError(_server_message(exc)) from exc
        except (psycopg.Error, OSError) as exc:
            await self.close()
            raise AwayError(_server_message(exc)) from exc

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()

    async def _ask(self, keys: Sequence[Key]) -> dict[Key, Answer]:
        connection = await self._connected()
        try:
            return self._rows(keys, *await self._uncut(self._run(connection, keys), connection))
        except psycopg.DataError as exc:
            if len(keys) == 1:
                return {keys[0]: ValueError(_server_message(exc))}
        # One of them does not fit, such as text for a column of numbers. It fails alone.
        middle = len(keys) // 2
        return {**await self._ask(keys[:middle]), **await self._ask(keys[middle:])}

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            try:
                self._connection = await psycopg.AsyncConnection.connect(
                    self._of.dsn, autocommit=True, prepare_threshold=None, application_name="rsq-pipe"
                )
            except psycopg.OperationalError as exc:
                if _REFUSED.search(str(exc)):
                    raise RefusedError(_server_message(exc)) from exc
                raise
        return self._connection

    async def _run(
        self, connection: psycopg.AsyncConnection[Any], keys: Sequence[Key]
    ) -> tuple[list[tuple[str, int]], list[tuple[Any, ...]]]:
        """Return the columns, each with its name and the number of its type, and the rows."""
        parts: list[Sequence[str]] = [
            [key if isinstance(key, str) else key[at] for key in keys] for at in range(len(self._by))
        ]
        async with psycopg.AsyncRawCursor(connection) as cursor:
            # Text without a type, so that the server takes the keys as the type that the query compares them
            # with.
            await cursor.execute(self._of.query.encode(), [_array(part) for part in parts])
            if cursor.description is None:
                raise RefusedError("the query gives no rows; write a `select`")
            columns = [(column.name, column.type_code) for column in cursor.description]
            return columns, await cursor.fetchall()

    def _rows(
        self, keys: Sequence[Key], columns: Sequence[tuple[str, int]], rows: Sequence[Sequence[Any]]
    ) -> dict[Key, Answer]:
        names = [name for name, _ in columns]
        for column in (*self._by, *self._columns):
            if column not in names:
                raise RefusedError(f"the query gives no column {column!r}; {suggest(column, names)}")
        at = [names.index(column) for column in self._by]
        forms = [_form(columns[place][1]) for place in at]
        alike, folded = defaultdict[Parts, list[Key]](list), defaultdict[Parts, list[Key]](list)
        for key in keys:
            parts = (key,) if isinstance(key, str) else key
            alike[_formed(forms, parts)].append(key)
            folded[_formed([_folded] * len(at), parts)].append(key)
        found: dict[Key, Answer] = {}
        counts: Counter[Key] = Counter()
        for row in rows:
            parts = tuple(key_text(_plain(row[place])) or "" for place in at)
            # Where case matters to the column, the query may ignore it.
            owners = alike.get(_formed(forms, parts)) or folded.get(_formed([_folded] * len(at), parts))
            for own in owners or ():
                counts[own] += 1
                found[own] = dict(zip(names, map(_plain, row), strict=True))
        several = {key: count for key, count in counts.items() if count > 1}
        return found | {
            key: ValueError(f"the query gives {count} rows for this key; it may give one")
            for key, count in several.items()
        }

    async def _uncut(self, asking: Coroutine[Any, Any, T], connection: psycopg.AsyncConnection[Any]) -> T:
        """Wait for an answer; if the wait is cancelled, drop the connection: the answer may never come."""
        task = asyncio.ensure_future(asking)
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                # If it were cancelled, psycopg would ask the server to end the query, and wait for that.
                _shut(connection)
                await asyncio.wait({task}, timeout=_CLOSE_TIMEOUT)
                task.cancel()
                self._connection = None
        return task.result()


def _shut(connection: psycopg.AsyncConnection[Any]) -> None:
    with suppress(psycopg.Error, OSError):
        own = socket.socket(fileno=os.dup(connection.fileno()))
        with own:
            own.shutdown(socket.SHUT_RDWR)


def _can_be_sent(key: Key) -> bool:
    """Return whether PostgreSQL can store such a text; if it cannot, no row has it."""
    text = key if isinstance(key, str) else "".join(key)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _array(texts: Sequence[str]) -> str:
    """Encode an array in PostgreSQL's text format."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def _form(kind: int) -> Callable[[str], str]:
    """Return how a column of this type compares: keys that it takes for one become one text."""
    if kind in _TEXTS:
        return str
    if kind in _NUMBERS:
        return _number
    if kind == _UUID:
        return _uuid
    return str.rstrip if kind == _PADDED else _folded


def _formed(forms: Sequence[Callable[[str], str]], parts: Parts) -> Parts:
    return tuple(form(part) for form, part in zip(forms, parts, strict=True))


def _number(text: str) -> str:
    try:
        return format(Decimal(text).normalize(), "f")
    except InvalidOperation:
        return text


def _uuid(text: str) -> str:
    return re.sub("[-{}]", "", text.casefold())


def _folded(text: str) -> str:
    """Convert a text to a form that it shares with what a citext column has for it."""
    return text.casefold().rstrip()


def _plain(value: Any) -> Any:
    """Turn a value into a JSON one: numbers without a fixed width and dates as text, as in a csv file."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if isfinite(value) else None
        case Decimal():
            return format(value, "f")
        case date() | time():
            return value.isoformat()
        case bytes() | memoryview():
            return bytes(value).hex()
        case dict():
            return {str(name): _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    return str(value)


def _server_message(exc: BaseException) -> str:
    """Return the server's message as one line."""
    text = str(exc).strip() or type(exc).__name__
    if isinstance(exc, psycopg.Error) and exc.diag.message_primary:
        text = exc.diag.message_primary
    return " ".join(text.split())
