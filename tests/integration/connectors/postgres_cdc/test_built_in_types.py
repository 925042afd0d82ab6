"""Every built-in type of PostgreSQL is read by postgres_cdc, and its value is that of the source postgres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from rsq_pipe.connectors.table import connector
from tests.integration.connectors.postgres_cdc.cdc_place import Place, data

# The first that a type takes is its value.
_TEXTS = (
    *(
        "7",
        "t",
        "2026-11-27 10:00:00.5+02",
        "1 day 02:03",
        "1.5",
        "{1,2}",
        "1 2",
        '{"a": [1, 2.5]}',
        "<a>b</a>",
    ),
    *(
        "a b",
        "(1,2)",
        "((1,2),(3,4))",
        "<(1,2),3>",
        "10.0.0.1",
        "08:00:2b:01:02:03",
        "08:00:2b:01:02:03:04:05",
    ),
    *(
        "00000000-0000-0000-0000-000000000001",
        "0/16B3748",
        "10:20:",
        "[1,5)",
        "[1.5,5)",
        "{[1,5)}",
        "{[1.5,5)}",
    ),
    *("[2026-01-01,2026-01-05)", "{[2026-01-01,2026-01-05)}", "pg_class", "now", "+", "+(int4,int4)", "int4"),
    *("now()", "sum(int4)", "english", "simple", "pg_catalog", "postgres", "(0,1)", "1010", "$.a"),
)
_UNFIT = {"gtsvector"}
"""Besides pg_...: types whose values only the server makes."""


def columns(place: Place) -> dict[str, str]:
    """The built-in types that a column may have, each with a value as text."""
    names = place.server.execute(
        "select typname from pg_type where typnamespace = 'pg_catalog'::regnamespace"
        " and typtype in ('b', 'r', 'm') and typelem = 0"
        " or typname in ('int2vector', 'oidvector', 'point', 'box', 'lseg', 'line', 'name')"
        " order by typname"
    )
    ((user,),) = place.server.execute("select current_user")
    found: dict[str, str] = {}
    with psycopg.connect(place.server.dsn, autocommit=True) as server:
        for (name,) in names:
            for text in (*_TEXTS, f"=r/{user}"):
                try:
                    server.execute(f"select '{text}'::pg_catalog.{quoted(name)}".encode())
                except psycopg.Error:
                    continue
                found[name] = text
                break
    assert {name for (name,) in names if name not in found and not name.startswith("pg_")} <= _UNFIT
    return found


def quoted(name: str) -> str:
    return f'"{name}"'


def read_by_query(place: Place) -> list[dict[str, Any]]:
    """The same rows by the source postgres."""
    found = connector("source", "postgres")
    options = found.options(dsn=place.server.dsn, table=place.table, key="id")
    source: Any = found.made(options, pipeline="p", stage="read", root=Path())
    records = [one for chunk in source.read(source.shards()[0], "", 100) for one in chunk.arrivals]
    return data(records)


def test_rows_and_changes_hold_every_built_in_type_as_the_source_postgres_reads_it(place: Place) -> None:
    types = columns(place)
    added = {f"c_{name}": f"'{text}'::pg_catalog.{quoted(name)}" for name, text in types.items()}
    kinds = {f"c_{name}": f"pg_catalog.{quoted(name)}" for name in types}
    arrays = {
        f"a_{name}": (f"pg_catalog.{quoted(name)}[]", f"array['{text}', null]::pg_catalog.{quoted(name)}[]")
        for name, text in types.items()
    }
    assert len(kinds) > 60
    more = [f"add {quoted(column)} {kind}" for column, kind in kinds.items()]
    more += [f"add {quoted(column)} {kind}" for column, (kind, _) in arrays.items()]
    place.execute(f"alter table TABLE {', '.join(more)}")
    values = ", ".join([*added.values(), *(value for _, value in arrays.values())])
    place.execute(f"insert into TABLE values (1, 1, {values})")
    first, position = place.read()
    place.execute(f"insert into TABLE values (2, 1, {values})")
    second, _ = place.read(position)

    assert [one.error for one in (*first, *second)] == ["", ""]
    (copied,), (changed,) = data(first), data(second)
    by_query, _ = read_by_query(place)
    names = [*kinds, *arrays]
    assert {name: copied[name] for name in names} == {name: changed[name] for name in names}
    assert {name: copied[name] for name in names} == {name: by_query[name] for name in names}


def test_vectors_and_arrays_of_boxes_are_lists(place: Place) -> None:
    place.execute(
        "alter table TABLE add v2 int2vector, add none int2vector, add vo oidvector, add vs int2vector[],"
        " add b box[], add bs box[][]"
    )
    place.execute(
        "insert into TABLE values (1, 1, '1 -2 3', '', '4294967295 7', array['1 2', '3', '']::int2vector[],"
        " '{(3,4),(1,2);NULL}', '{{(3,4),(1,2);(1,1),(0,0)}}')"
    )

    (record,) = data(place.read()[0])

    assert record["v2"] == [1, -2, 3]
    assert record["none"] == []
    assert record["vo"] == ["4294967295", "7"]
    assert record["vs"] == [[1, 2], [3], []]
    assert record["b"] == ["(3,4),(1,2)", None]
    assert record["bs"] == [["(3,4),(1,2)", "(1,1),(0,0)"]]
