"""Selecting: the query for the next rows of a look, whichever way new rows are recognised."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.connectors.postgres.names import listed
from rsq_pipe.connectors.postgres.source_options import Options


def select(options: Options, read: Sequence[str], conditions: Sequence[str], *, order: Sequence[str]) -> str:
    """
    Build the query for the key of each row as texts, and what else is read, for `size` rows at most.

    Args:
        options: The source's settings.
        read: The expressions read after the key.
        conditions: The conditions for new rows, without the source's own.
        order: The expressions that rows are ordered by.
    """
    if options.where:
        conditions = [*conditions, f"({options.where.replace('%', '%%')})"]
    key = ", ".join(f"{key}::text" for key in keys_of(options))
    return (
        f"select array[{key}], {', '.join(read)}"  # noqa: S608  quoted
        f" from {options.origin.replace('%', '%%')} where {' and '.join(conditions)}"
        f" order by {', '.join(order)} limit %(size)s"
    )


def keys_of(options: Options) -> list[str]:
    """Name the columns of the key, of a row `t`."""
    return [f"t.{listed([name])}" for name in options.key]


def key_given(options: Options) -> str:
    """Name the parameters that hold the key of the last row: `k0`, `k1` and so on."""
    return ", ".join(f"%(k{at})s" for at in range(len(options.key)))


def record(columns: Sequence[str] | None) -> str:
    """Build the SQL that makes JSON from a row `t`; a bare `t` may be a column of that name."""
    if columns is None:
        return "row_to_json(t.*)::text"
    chosen = ", ".join(f"t.{listed([name])}" for name in columns).replace("%", "%%")
    return f"(select row_to_json(r.*)::text from (select {chosen}) r)"  # noqa: S608  quoted
