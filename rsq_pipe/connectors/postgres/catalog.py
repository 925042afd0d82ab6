"""Catalog: which columns a table of PostgreSQL has, and a table for records that have none yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rsq_pipe.connectors.ledger.columns import Column, made_columns
from rsq_pipe.connectors.ledger.database import RefusedError
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import LONGEST, listed, quoted
from rsq_pipe.connectors.postgres.options import Options
from rsq_pipe.connectors.record_id import FIELD

_COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod), t.typcategory = 'A',
    a.atthasdef or a.attidentity <> '', a.attgenerated <> '' or a.attidentity = 'a', b.typname
from pg_attribute a join pg_type t on t.oid = a.atttypid
    join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped order by a.attnum
"""

_BIGGEST = 2**63


def exists(connection: Connection, table: str) -> bool:
    """Tell whether there is such a table."""
    return connection.execute("select to_regclass(%s) is not null", [quoted(table)]) == [(True,)]


def columns_of(connection: Connection, table: str) -> list[Column] | None:
    """List the columns of a table; None where there is no such table."""
    if not exists(connection, table):
        return None
    return [
        Column(
            name,
            kind,
            fills_itself=fills_itself,
            is_computed=is_computed,
            is_json=base in ("json", "jsonb"),
            is_array=is_array,
        )
        for name, kind, is_array, fills_itself, is_computed, base in connection.execute(
            _COLUMNS, [quoted(table)]
        )
    ]


def created(connection: Connection, options: Options, records: Sequence[Any]) -> None:
    """
    Make a table for records, as `create` says; none where no record has a field.

    Raises:
        RefusedError: A column cannot be named.
    """
    fields = made_columns(records, options.columns)
    if not fields:
        return
    types = {
        name: _type([_kind(record.get(field)) for record in records if isinstance(record, dict)])
        for name, field in fields.items()
    }
    if options.rid:
        types = {FIELD: "text", **types}
    types |= options.types
    for name in types:
        if not name or "\0" in name or len(name.encode()) > LONGEST:
            raise RefusedError(f"a column cannot be named {name[:80]!r}; name another in `columns`")
    parts = [f"{listed([name])} {kind}" for name, kind in types.items()]
    if options.key:
        parts.append(f"primary key ({listed(options.key)})")
    connection.execute(f"create table if not exists {quoted(options.table)} ({', '.join(parts)})")


def _kind(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "boolean"
        case int():
            return "bigint" if -_BIGGEST <= value < _BIGGEST else "numeric"
        case float():
            return "double precision"
        case dict() | list() | tuple():
            return "jsonb"
    return "text"


def _type(kinds: Iterable[str]) -> str:
    """Choose a type that all values of a column have."""
    own = {kind for kind in kinds if kind}
    if len(own) == 1:
        return own.pop()
    if own and own <= {"bigint", "numeric", "double precision"}:
        return "numeric" if "numeric" in own else "double precision"
    return "text"
