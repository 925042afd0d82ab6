"""Values as COPY reads them, many at once as one by one; and which field goes into which column."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.connectors.ledger.columns import Column, Columns, made_columns
from rsq_pipe.connectors.postgres.text import line, lines_at_once
from rsq_pipe.errors import EncodeError

WHOLE, JSONS = Column("c", "bigint"), Column("c", "jsonb[]", is_array=True)
TEXT, JSON, ARRAY = Column("c"), Column("c", is_json=True), Column("c", is_array=True)


@pytest.mark.parametrize(
    ("column", "value", "written"),
    [
        (TEXT, None, "\\N"),
        (TEXT, "", ""),
        (TEXT, "a\tb\nc\\N\r", "a\\tb\\nc\\\\N\\r"),
        (TEXT, 12, "12"),
        (TEXT, 1e300, "1e+300"),
        (TEXT, float("nan"), "nan"),
        (TEXT, True, "t"),
        (TEXT, {"a": ["x\ny"]}, '{"a":["x\\\\ny"]}'),
        (JSON, "text", '"text"'),
        (JSON, None, "\\N"),
        (JSON, False, "false"),
        (JSON, 3, "3"),
        (ARRAY, [1, None, True], "{1,NULL,t}"),
        (ARRAY, ['a"b', "c\\"], '{"a\\\\"b","c\\\\\\\\"}'),
        (ARRAY, [[1, 2], [3, 4]], "{{1,2},{3,4}}"),
        (ARRAY, "{1,2}", "{1,2}"),
        (WHOLE, 2.0, "2"),
        (WHOLE, -1e15, "-1000000000000000"),
        (WHOLE, 2.5, "2.5"),
        (WHOLE, float("inf"), "inf"),
        (WHOLE, True, "t"),
        (Column("c", "integer[]", is_array=True), [1.0, 2.5], "{1,2.5}"),
        (JSONS, [{"a": 1}, [2], "x", None, True], '{"{\\\\"a\\\\":1}","[2]","\\\\"x\\\\"",NULL,"true"}'),
    ],
)
def test_a_value_is_written_as_its_column_reads_it(column: Column, value: Any, written: str) -> None:
    assert line([column], [value], {}) == written
    assert lines_at_once([column], [[value, value]]) == [written, written]


@pytest.mark.parametrize("value", ["\ud800", {"a": float("nan")}])
def test_a_value_that_no_text_holds_is_a_failure_of_its_record(value: Any) -> None:
    assert lines_at_once([TEXT], [["a", value]]) is None
    with pytest.raises(EncodeError):
        line([TEXT], [value], {"c": value})


def columns(**settings: Any) -> Columns:
    table = [Column("id", fills_itself=True), Column("a"), Column("b"), Column("sum", is_computed=True)]
    return Columns(table, **{"fields": None, "extra": "error", "missing": "error", **settings})


def names(found: tuple[tuple[Column, ...], list[Any]]) -> dict[str, Any]:
    return dict(zip([column.name for column in found[0]], found[1], strict=True))


def test_a_column_that_fills_itself_is_left_to_do_so_where_the_record_has_no_such_field() -> None:
    assert names(columns().of({"a": 1, "b": 2})) == {"a": 1, "b": 2}
    assert names(columns().of({"a": 1, "b": 2, "id": 3})) == {"id": 3, "a": 1, "b": 2}


def test_fields_without_a_column_and_columns_without_a_field_are_named_at_once() -> None:
    with pytest.raises(EncodeError) as told:
        columns().of({"a": 1, "x": 2, "y": 3})

    assert str(told.value) == (
        "the table has no column for 'x', 'y'; add them to the table, or set `extra: ignore` to leave them "
        "out; and no field 'b'; set `missing: empty` to leave its column empty"
    )
    with pytest.raises(EncodeError, match=r"set `extra: ignore` to leave it out$"):
        columns(missing="empty").of({"a": 1, "x": 2})


def test_fields_too_many_or_too_few_fail_the_record_unless_they_may() -> None:
    with pytest.raises(EncodeError, match="no column for 'sum'"):
        columns().of({"a": 1, "b": 2, "sum": 3})
    with pytest.raises(EncodeError, match="no field 'b'"):
        columns().of({"a": 1})

    assert names(columns(extra="ignore", missing="empty").of({"a": 1, "x": 1})) == {"a": 1, "b": None}


def test_columns_may_be_chosen_and_filled_from_fields_of_other_names() -> None:
    chosen = columns(fields={"a": "left"}, extra="ignore")

    assert names(chosen.of({"left": 1, "b": 2})) == {"a": 1}
    with pytest.raises(ValueError, match="no column 'c'; it has id, a, b, sum"):
        columns(fields={"c": "x"})


def test_a_key_needs_a_value() -> None:
    with pytest.raises(EncodeError, match="field 'a' has no value"):
        columns(required=["a"]).of({"a": None, "b": 1})


def test_records_of_one_shape_are_found_to_be_so() -> None:
    found = columns().plain([{"a": 1, "b": 2}, {"b": 3, "a": 4}], with_rid=False)

    assert found is not None
    assert found[1] == ["a", "b"]
    assert columns().plain([{"a": 1, "b": 2}, {"a": 1}], with_rid=False) is None


def test_a_table_is_made_for_the_fields_of_the_first_record() -> None:
    assert list(made_columns(["no record", {}, {"b": 1, "a": 2}, {"c": 3}], None)) == ["b", "a"]
    assert made_columns([{"b": 1}], {"x": "y"}) == {"x": "y"}
