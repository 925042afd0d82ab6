"""Catalog: lists the columns of a table of PostgreSQL, and creates a table for records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.made_types import MadeTypes, check_names, definitions
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import LONGEST, listed, quoted
from rsq_pipe.connectors.postgres.options import Options

_COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod), t.typcategory = 'A',
    a.atthasdef or a.attidentity <> '' or t.typdefault is not null,
    a.attgenerated <> '' or a.attidentity = 'a', a.attidentity = 'a', b.typname,
    (a.attnotnull or t.typnotnull) and c.relkind in ('r', 'p') and not c.relhasrules and not exists (
        select from pg_trigger g where not g.tgisinternal and g.tgtype & 6 = 6  -- before, insert
            and (g.tgrelid = c.oid or g.tgrelid in (select relid from pg_partition_tree(c.oid)))
    ),
    coalesce(i.typrelid, b.typrelid)::bigint  -- of a composite type, or of an array's items
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_type t on t.oid = a.atttypid
    join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
    left join pg_type i on b.typcategory = 'A' and i.oid = b.typelem
where a.attrelid = {table} and a.attnum > 0 and not a.attisdropped order by a.attnum
"""

_KIND = """
select relkind::text, exists (
    select from pg_trigger where tgrelid = c.oid and tgtype & 68 = 68  -- instead, insert
) from pg_class c where oid = to_regclass(%s)
"""

TYPES = MadeTypes(
    *("boolean", "bigint", "numeric", "double precision", "jsonb", "text"),
    mixed=("numeric", "double precision"),
)


def exists(connection: Connection, table: str) -> bool:
    """Return whether the table exists."""
    return connection.execute("select to_regclass(%s) is not null", [quoted(table)]) == [(True,)]


def columns_of(connection: Connection, table: str) -> list[Column] | None:
    """List the columns of a table; None if it does not exist."""
    if not exists(connection, table):
        return None
    return _columns(connection, "to_regclass(%s)", quoted(table))


def _columns(connection: Connection, table: str, value: str | int) -> list[Column]:
    """List the columns of a table, or the fields of a composite type; `table` is SQL that names it."""
    rows = connection.execute(_COLUMNS.format(table=table), [value])
    return [
        Column(
            name,
            kind,
            fills_itself=fills_itself,
            is_computed=is_computed,
            is_identity=is_identity,
            is_json=base in ("json", "jsonb"),
            is_array=is_array,
            parts=tuple(_columns(connection, "%s::oid", composite)) if composite else (),
            needs_value=needs_value and not fills_itself and not is_computed,
        )
        for name, kind, is_array, fills_itself, is_computed, is_identity, base, needs_value, composite in rows
    ]


def check_kind(connection: Connection, table: str, *, copies: bool) -> None:
    """
    Check that rows can be written to what a name stands for, which may be a view, or a sequence.

    Args:
        copies: Whether they are copied, which most views do not take.

    Raises:
        RefusedError: They cannot.
    """
    for kind, takes_rows in connection.execute(_KIND, [quoted(table)]):
        if kind in ("r", "p", "f") or (kind == "v" and (takes_rows or not copies)):
            continue
        if kind == "v":
            raise RefusedError(
                "it is a view, into which PostgreSQL does not copy rows; name its table, set `mode: upsert`, "
                "or give it a trigger INSTEAD OF INSERT"
            )
        raise RefusedError("it is not a table, and takes no rows; name a table")


def check_key(connection: Connection, table: str, key: Sequence[str]) -> None:
    """
    Have the server plan an upsert by key: it refuses one that no unique index serves.

    Raises:
        RefusedError: It does.
    """
    names, of = listed(key), quoted(table)
    connection.execute(
        f"explain insert into {of} ({names}) select {names} from {of} where false"  # noqa: S608
        f" on conflict ({names}) do nothing"
    )


def created(connection: Connection, options: Options, records: Sequence[Any]) -> None:
    """
    Create a table for records, as `create` says; none if no record has a field.

    Raises:
        RefusedError: A column cannot be named.
    """
    types = TYPES.of(records, options.columns, rid=options.rid)
    if not types:
        return
    types |= options.types
    check_names(types, lambda name: len(name.encode()) <= LONGEST)
    columns = definitions(types, options.key, listed)
    connection.execute(f"create table if not exists {quoted(options.table)} ({columns})")
