"""The columns of a table that is made for records get types that hold all of their values."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.connectors.duckdb.database import DuckDatabase
from rsq_pipe.connectors.mysql import catalog as mysql
from rsq_pipe.connectors.postgres import catalog as postgres
from rsq_pipe.connectors.sqlite.database import SqliteDatabase

OF = {
    "duckdb": DuckDatabase.types,
    "mysql": mysql.TYPES,
    "postgres": postgres.TYPES,
    "sqlite": SqliteDatabase.types,
}
KINDS = ("duckdb", "mysql", "postgres", "sqlite")


@pytest.mark.parametrize(
    ("values", "types"),
    [
        ([1, None], ("bigint", "bigint", "bigint", "integer")),
        ([1, 2**63], ("hugeint", "decimal(65, 0)", "numeric", "integer")),
        ([1, 0.5], ("double", "double", "double precision", "real")),
        ([2**63, 0.5], ("double", "double", "numeric", "real")),
        ([True], ("boolean", "boolean", "boolean", "integer")),
        ([[1], {"a": 1}], ("json", "json", "jsonb", "text")),
        ([1, "a"], ("varchar", "longtext", "text", "text")),
        ([None], ("varchar", "longtext", "text", "text")),
    ],
)
def test_a_type_holds_all_values_of_a_column(values: list[Any], types: tuple[str, ...]) -> None:
    records = [{"v": value} for value in values]

    assert tuple(OF[kind].of(records, None, rid=False)["v"] for kind in KINDS) == types


@pytest.mark.parametrize("kind", KINDS)
def test_the_id_comes_first_and_what_is_no_record_has_no_column(kind: str) -> None:
    made = OF[kind].of([3, {"b": 1, "a": 2}, {"c": 3}], None, rid=True)

    assert list(made) == ["rid", "b", "a"]
    assert OF[kind].of([3, {}], None, rid=True) == {}
    assert list(OF[kind].of([{"b": 1}], {"x": "b"}, rid=False)) == ["x"]
