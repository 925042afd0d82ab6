"""The parquet sink: parts of Parquet, columns of stated types, and columns of what was there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import arro3.io
import duckdb
import pytest
from pydantic import ValidationError

from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch

Make = Callable[..., Any]
MakeBatch = Callable[..., Batch]


@pytest.fixture
def written(tmp_path: Path, sink: Make, batch: MakeBatch) -> Callable[..., dict[int, Exception]]:
    """Write records as one part, `x-000001.parquet`; give those that could not be written."""

    def write(*records: Any, **options: Any) -> dict[int, Exception]:
        made = sink("parquet", path="x.parquet", **options)
        made.open(None)
        failures: dict[int, Exception] = made.write(batch(*records)).failures
        made.stored()
        made.close()
        return failures

    return write


def columns(path: Path) -> dict[str, tuple[str, list[Any]]]:
    """Read a file: column -> its type and its values."""
    table = arro3.io.read_parquet(path).read_all()
    kinds = [repr(field.type).partition("<")[2].strip()[:-1] for field in table.schema]  # type: ignore[attr-defined]
    values = [column.to_pylist() for column in table.columns]
    return dict(zip(table.column_names, zip(kinds, values, strict=True), strict=True))


def test_columns_without_stated_types_are_what_all_their_values_are(
    tmp_path: Path, written: Callable[..., Any]
) -> None:
    assert (
        written(
            {"id": 1, "total": 2, "note": "a", "paid": True, "lines": [{"n": 1}], "none": None},
            {"id": 2, "total": 2.5, "paid": None, "lines": [], "late": "b"},
        )
        == {}
    )

    assert columns(tmp_path / "x-000001.parquet") == {
        "id": ("Int64", [1, 2]),
        "total": ("Float64", [2.0, 2.5]),
        "note": ("Utf8", ["a", None]),
        "paid": ("Boolean", [True, None]),
        "lines": ('List(Struct("n": Int64))', [[{"n": 1}], []]),
        "none": ("Utf8", [None, None]),
        "late": ("Utf8", [None, "b"]),
    }


@pytest.mark.parametrize("last", [3, "x"], ids=["of one type", "of several"])
def test_columns_without_stated_types_stand_in_the_order_of_the_first_record(
    tmp_path: Path, written: Callable[..., Any], last: Any
) -> None:
    assert written({"zip": 1, "city": "a", "b": 1}, {"a": 0, "b": last, "zip": 2, "city": "b"}) == {}

    assert list(columns(tmp_path / "x-000001.parquet")) == ["zip", "city", "b", "a"]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, "x", None], ["1", '"x"', None]),
        ([1, {"a": 1}], ["1", '{"a":1}']),
        ([{}, {}], ["{}", "{}"]),
        ([2**53 + 1, 1.5], ["9007199254740993", "1.5"]),
        ([2**63, 1], ["9223372036854775808", "1"]),
        ([[1, "x"]], ['[1,"x"]']),
    ],
)
def test_values_that_no_one_type_can_hold_are_text_of_json_and_their_neighbours_keep_their_types(
    tmp_path: Path, written: Callable[..., Any], values: list[Any], texts: list[Any]
) -> None:
    assert written(*({"v": value, "id": 7} for value in values)) == {}

    assert columns(tmp_path / "x-000001.parquet") == {
        "v": ("Utf8", texts),
        "id": ("Int64", [7] * len(values)),
    }


def test_columns_have_their_stated_types_and_order(tmp_path: Path, written: Callable[..., Any]) -> None:
    types = {
        "day": "date",
        "at": "datetime",
        "total": "decimal(18,2)",
        "delay": "float",
        "tags": "json",
        "id": "int",
        "note": "str",
    }
    failures = written(
        {
            "id": 2.0,
            "note": "é",
            "total": "12.50",
            "delay": 3,
            "day": "2026-01-31",
            "at": "2026-01-31T10:00:00+02:00",
            "tags": [1, "x"],
        },
        {"id": 3, "total": 7.25, "at": "2026-01-31 10:00:00"},
        columns=types,
    )

    assert failures == {}
    assert columns(tmp_path / "x-000001.parquet") == {
        "day": ("Date32", [date(2026, 1, 31), None]),
        "at": (
            'Timestamp(µs, "UTC")',
            [datetime(2026, 1, 31, 8, tzinfo=UTC), datetime(2026, 1, 31, 10, tzinfo=UTC)],
        ),
        "total": ("Decimal128(18, 2)", [Decimal("12.50"), Decimal("7.25")]),
        "delay": ("Float64", [3.0, None]),
        "tags": ("Utf8", ['[1,"x"]', None]),
        "id": ("Int64", [2, 3]),
        "note": ("Utf8", ["é", None]),
    }
    seen = duckdb.connect().execute(f"select sum(total), min(day) from '{tmp_path}/x-*.parquet'").fetchall()
    assert seen == [(Decimal("19.75"), date(2026, 1, 31))]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("int", "7"),
        ("int", 1.5),
        ("int", 2**63),
        ("int", True),
        ("float", "1.5"),
        ("float", float("inf")),
        ("float", 2**53 + 1),
        ("str", 5),
        ("bool", 1),
        ("date", "31.1.2026"),
        ("date", 5),
        ("datetime", "soon"),
        ("decimal(4,2)", "100"),
        ("decimal(4,2)", "1.005"),
        ("decimal(4,2)", "NaN"),
        ("decimal(4,2)", []),
    ],
)
def test_a_record_that_does_not_fit_its_column_fails_alone(
    tmp_path: Path, written: Callable[..., Any], type_: str, value: Any
) -> None:
    failures = written({"v": None}, {"v": value}, {"v": None}, columns={"v": type_})

    assert list(failures) == [1]
    assert f"field 'v' is {value!r}, and its column is of type {type_}" in str(failures[1])
    assert columns(tmp_path / "x-000001.parquet")["v"][1] == [None, None]


@pytest.mark.parametrize(
    ("value", "told"),
    [(1.005, True), (5.0000000000001, True), (100.0, False), (float("nan"), False), ("1.005", False)],
)
def test_a_computed_number_with_more_places_than_its_column_is_told_how_to_be_rounded(
    written: Callable[..., Any], value: Any, told: bool
) -> None:
    failures = written({"v": value}, columns={"v": "decimal(4,2)"})

    assert ("round it in a stage above: `map: {v: round(v, 2)}`" in str(failures[0])) is told


def test_fields_without_a_column_are_a_failure_or_left_out(written: Callable[..., Any]) -> None:
    failures = written({"id": 1, "more": 2}, columns={"id": "int"})
    assert "no column for 'more'; name it in `columns`, or set `extra: ignore`" in str(failures[0])

    assert written({"id": 1, "more": 2}, columns={"id": "int"}, extra="ignore", exists="replace") == {}


def test_record_without_fields_is_no_row(written: Callable[..., Any], tmp_path: Path) -> None:
    failures = written({"id": 1}, {}, {"id": 2})

    assert {place: str(why) for place, why in failures.items()} == {
        1: "a row needs a record with at least one field"
    }
    assert columns(tmp_path / "x-000001.parquet")["id"][1] == [1, 2]


def test_record_id_is_the_first_column(written: Callable[..., Any], tmp_path: Path) -> None:
    written({"id": 1}, rid=True, columns={"id": "int"})

    assert columns(tmp_path / "x-000001.parquet") == {"rid": ("Utf8", ["read:0"]), "id": ("Int64", [1])}


def test_a_part_is_made_when_it_is_full_and_nothing_is_left_beside_it(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    made = sink("parquet", path="out/x.parquet", rotate={"size": "20B"})
    made.open(None)
    for n in range(3):
        made.write(batch({"n": n, "text": "long enough"}))
        made.stored()
    made.close()

    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == [f"x-00000{n}.parquet" for n in (1, 2, 3)]
    assert [columns(folder / f"x-00000{n + 1}.parquet")["n"][1] for n in range(3)] == [[0], [1], [2]]


def test_what_a_killed_writer_left_is_taken_away(tmp_path: Path, sink: Make, batch: MakeBatch) -> None:
    first = sink("parquet", path="x.parquet")
    first.open(None)
    position = first.write(batch({"n": 1})).position
    first.stored()
    lines = (tmp_path / ".x-000001.parquet").read_bytes()
    first.close()
    # Killed between the rename and the removal, and another time while it made the part.
    (tmp_path / ".x-000001.parquet").write_bytes(lines)
    (tmp_path / ".x-000001.parquet.ab12.made").write_bytes(b"PAR1")

    second = sink("parquet", path="x.parquet")
    second.open(position)
    second.write(batch({"n": 2}))
    second.stored()
    second.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["x-000001.parquet", "x-000002.parquet"]
    assert columns(tmp_path / "x-000002.parquet")["n"][1] == [2]


def test_part_that_cannot_be_made_ends_the_run_and_loses_nothing(
    tmp_path: Path, sink: Make, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    made = sink("parquet", path="x.parquet")
    made.open(None)
    position = made.write(batch({"n": 1})).position
    made.stored()
    with monkeypatch.context() as patched:
        patched.setattr("rsq_pipe.connectors.parquet.sink.write_parquet", full)
        with pytest.raises(SinkError, match=r"x\.parquet: a part cannot be finished: No space left"):
            made.close()

    second = sink("parquet", path="x.parquet")
    second.open(position)
    second.close()
    assert columns(tmp_path / "x-000001.parquet")["n"][1] == [1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"path": "x.csv"}, "the name of a Parquet file must end in .parquet"),
        ({"path": "x.parquet", "columns": {"id": "long"}}, "there is no type 'long'; use str, int, float"),
        ({"path": "x.parquet", "columns": {"id": "decimal(4,5)"}}, "there is no type 'decimal(4,5)'"),
        ({"path": "x.parquet", "columns": {}}, "at least 1 item"),
        ({"path": "x.parquet", "compression": "lzo"}, "'zstd', 'snappy', 'gzip' or 'none'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        connector("sink", "parquet").options(**options)
    assert told in str(caught.value)


def test_file_is_packed_as_asked(tmp_path: Path, written: Callable[..., Any]) -> None:
    for compression, packed in (("zstd", "ZSTD"), ("snappy", "SNAPPY"), ("none", "UNCOMPRESSED")):
        written({"id": 1}, compression=compression, exists="replace")
        query = f"select compression from parquet_metadata('{tmp_path}/x-000001.parquet')"
        assert duckdb.connect().execute(query).fetchall() == [(packed,)]


@pytest.mark.parametrize("value", ["1e-999999999", "-1.5e-999999999"])
def test_a_number_of_a_billion_decimals_is_refused_without_writing_them_out(
    written: Callable[..., dict[int, Exception]], value: str
) -> None:
    failures = written({"v": value}, columns={"v": "decimal(4,2)"})

    assert "its column is of type decimal(4,2)" in str(failures[0])


@pytest.mark.parametrize("value", ["0e-999999999", "0.000", "-0", 0])
def test_zero_fits_a_decimal_column_however_it_is_written(
    written: Callable[..., dict[int, Exception]], value: object
) -> None:
    assert written({"v": value}, columns={"v": "decimal(4,2)"}) == {}


@pytest.mark.parametrize("value", ["1.50000", "100e-2", "0.1e2", 1.5])
def test_zeros_at_the_end_are_no_decimals(
    written: Callable[..., dict[int, Exception]], value: object
) -> None:
    assert written({"v": value}, columns={"v": "decimal(4,2)"}) == {}
