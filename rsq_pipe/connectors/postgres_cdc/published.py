"""Published: the tables of a publication, with their published columns and rows, and their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres.names import listed

# Columns and conditions of a publication exist since PostgreSQL 15; before, the view had neither.
_TABLES = """
select c.oid::bigint, n.nspname, c.relname,
    to_jsonb(p) ->> 'rowfilter',
    (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        and (to_jsonb(p) -> 'attnames' is null or to_jsonb(p) -> 'attnames' ? a.attname::text)),
    coalesce((select array_agg(a.attname::text order by array_position(i.indkey::int2[], a.attnum))
        from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey::int2[])
        where i.indrelid = c.oid
        and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end
    ), '{}')
from pg_publication_tables p
    join pg_namespace n on n.nspname = p.schemaname
    join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
where p.pubname = %s order by n.nspname, c.relname
"""


class Table(Struct, frozen=True):
    """
    Describe a table as it is now.

    Args:
        number: Its number, which stays the same when it is renamed.
        schema, name: Its schema and name.
        condition: Which rows are published; none for all.
        columns: The columns that are published.
        key: The columns by which a change identifies its row; none if there is no such key.
    """

    number: int
    schema: str
    name: str
    condition: str | None
    columns: Sequence[str]
    key: Sequence[str]

    @property
    def title(self) -> str:
        """Its name, as a user writes it."""
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        """Its name, quoted for PostgreSQL."""
        return f"{listed([self.schema])}.{listed([self.name])}"


def published(connection: Connection, publication: str, wanted: Sequence[str] | None) -> list[Table]:
    """
    List the tables of a publication that are read.

    Raises:
        RefusedError: The publication does not exist, or lacks a table.
    """
    known = connection.execute("select 1 from pg_publication where pubname = %s", [publication])
    tables = [_table(row) for row in connection.execute(_TABLES, [publication])]
    name = listed([publication])
    if not known:
        some = ", ".join(wanted or ["TABLE"])
        raise RefusedError(
            f"there is no publication {publication!r}; make it: create publication {name} for table {some}"
        )
    if wanted is None:
        return tables
    titles = {title if "." in title else f"public.{title}" for title in wanted}
    missing = sorted(titles.difference(table.title for table in tables))
    if missing:
        raise RefusedError(
            f"publication {publication!r} does not hold {', '.join(missing)}; add it: "
            f"alter publication {name} add table {', '.join(missing)}"
        )
    return [table for table in tables if table.title in titles]


def _table(row: tuple[Any, ...]) -> Table:
    number, schema, name, condition, columns, key = row
    own = columns or []
    return Table(number, schema, name, condition, own, key if set(key) <= set(own) else [])
