"""The parquet source: rows as records, what no record can hold, and files that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import arro3.core as arrow
import arro3.io
import duckdb
import msgspec
import pytest
from structlog.testing import capture_logs

from rsq_pipe.connectors.source import Source
from rsq_pipe.connectors.table import SOURCES, Listed, connector
from rsq_pipe.errors import SourceError
from rsq_pipe.extras import install
from rsq_pipe.spec.loader import check

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a Parquet file of the given columns."""

    def write_file(name: str = "x.parquet", **columns: tuple[list[Any], Any]) -> Path:
        table = arrow.Table.from_pydict(
            {column: arrow.Array(values, kind) for column, (values, kind) in columns.items()}
        )
        arro3.io.write_parquet(table, tmp_path / name)
        return tmp_path / name

    return write_file


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Source]:
    """Make the source as a new process would."""

    def make(path: str = "x.parquet", **options: Any) -> Source:
        found = connector("source", "parquet")
        assert found.connect is not None
        made: Source = found.connect(found.options(path=path, **options), stage="read", root=tmp_path)
        return made

    return make


Make = Callable[..., Source]
I64, F64, TEXT = arrow.DataType.int64(), arrow.DataType.float64(), arrow.DataType.utf8()


def test_row_is_a_record_of_what_json_holds(tmp_path: Path, source: Make) -> None:
    columns = (
        "1 AS i, 'NaN'::DOUBLE AS f, 'é' AS s, DATE '2026-01-31' AS d, TIMESTAMP '2026-01-31 10:30:00' AS t, "
        "TIMESTAMPTZ '2026-01-31 10:30:00+00' AS z, 1.50::DECIMAL(5, 2) AS m, '\\xFF'::BLOB AS b, "
        "[1, 2] AS l, {'a': [DATE '2026-01-31']} AS o, MAP {'k': 1.5::DOUBLE} AS p, NULL::INT AS n"
    )
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT {columns}) TO '{tmp_path / 'x.parquet'}'")

    [chunk] = source().read("x.parquet", "", 10)

    assert chunk.records == [
        {
            "i": 1,
            "f": None,
            "s": "é",
            "d": "2026-01-31",
            "t": "2026-01-31T10:30:00",
            "z": "2026-01-31T10:30:00Z",
            "m": "1.50",
            "b": "/w==",
            "l": [1, 2],
            "o": {"a": ["2026-01-31"]},
            "p": {"k": 1.5},
            "n": None,
        }
    ]


def test_row_with_an_infinite_number_is_a_dead_letter_among_its_neighbours(
    write: Write, source: Make
) -> None:
    write(f=([1.0, float("inf"), 3.0], F64))

    [chunk] = source().read("x.parquet", "", 10)

    first, broken, last = chunk.arrivals
    assert (first.data, last.data) == ({"f": 1.0}, {"f": 3.0})
    assert (first.offset, broken.offset, last.offset) == ("x.parquet:1", "x.parquet:2", "x.parquet:3")
    assert broken.error == "x.parquet: row 2: an infinite number is not a value of a record"
    assert broken.raw == b'{"f":"inf"}'


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_another_process_goes_on_from_every_position(size: int, write: Write, source: Make) -> None:
    write(i=(list(range(50)), I64), s=([str(n) for n in range(50)], TEXT))
    whole = [
        (record, chunk.position) for chunk in source().read("x.parquet", "", size) for record in chunk.records
    ]

    for index, (_, position) in enumerate(whole):
        if index + 1 < len(whole) and whole[index + 1][1] == position:
            continue  # inside a chunk
        later = [arrival for chunk in source().read("x.parquet", position, 4) for arrival in chunk.arrivals]
        assert [arrival.data for arrival in later] == [record for record, _ in whole[index + 1 :]]
        assert [arrival.offset for arrival in later] == [f"x.parquet:{n + 1}" for n in range(index + 1, 50)]


def test_only_the_columns_named_are_read(write: Write, source: Make) -> None:
    write(i=([1], I64), s=(["a"], TEXT))

    [chunk] = source(columns=["s"]).read("x.parquet", "", 10)

    assert chunk.records == [{"s": "a"}]
    with pytest.raises(SourceError, match="it has no column 'x', but i, s"):
        list(source(columns=["x"]).read("x.parquet", "", 10))


def test_another_file_under_the_name_is_refused(write: Write, source: Make) -> None:
    write(i=([1, 2], I64))
    first = next(iter(source().read("x.parquet", "", 1)))
    write(i=([1, 2, 3], I64))

    with pytest.raises(SourceError, match="is not the file that was read up to row 1"):
        list(source().read("x.parquet", first.position, 1))


def test_empty_file_is_a_warning(tmp_path: Path, source: Make) -> None:
    (tmp_path / "x.parquet").touch()

    with capture_logs() as logs:
        assert list(source().read("x.parquet", "", 10)) == []

    assert [log["event"] for log in logs] == ["the file is empty: there is no record in it"]


@pytest.mark.parametrize("cut", [8, 40, -4, -40])
def test_file_that_is_not_whole_is_an_error_and_no_panic(
    cut: int, write: Write, source: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(i=(list(range(100)), I64))
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(SourceError, match=r"file x.parquet cannot be read: it is not a whole Parquet file"):
        list(source().read("x.parquet", "", 10))
    assert capfd.readouterr().err == ""


def test_file_of_another_kind_is_an_error(tmp_path: Path, source: Make) -> None:
    (tmp_path / "x.parquet").write_text('{"id": 1}\n')

    with pytest.raises(SourceError, match="it is not a Parquet file"):
        list(source().read("x.parquet", "", 10))


def test_damage_within_a_file_is_an_error(write: Write, source: Make) -> None:
    path = write(s=([str(n) * 50 for n in range(1000)], TEXT))
    data = bytearray(path.read_bytes())
    data[40:400] = b"\xff" * 360
    path.write_bytes(data)

    with pytest.raises(SourceError, match=r"file x.parquet cannot be read"):
        list(source().read("x.parquet", "", 10))


def test_a_missing_extra_is_a_mistake_of_the_file_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        SOURCES, "parquet", Listed("parquet.source", "x", "parquet", "not_installed_anywhere")
    )
    spec = tmp_path / "p.yaml"
    spec.write_text(
        "version: 1\npipeline: p\nstages:\n"
        "  read: {source: {type: parquet, path: x.parquet}}\n  out: {sink: {type: stdout}}\n"
    )

    problem = check(spec).problems[0]

    assert (problem.line, problem.column) == (4, 25)
    assert problem.what == "the source 'parquet' needs a package that is not installed"
    assert problem.fix == install("parquet")


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], None]:
    """Write a Parquet file of a query's result."""

    def write_rows(query: str) -> None:
        with duckdb.connect() as database:
            database.execute("SET TimeZone = 'UTC'")
            database.execute(f"COPY ({query}) TO '{tmp_path / 'x.parquet'}' (FORMAT parquet)")

    return write_rows


@pytest.mark.parametrize(
    "value",
    [
        "DATE '20000-01-01'",
        "DATE '0044-03-15 (BC)'",
        "TIMESTAMP '20000-01-01'",
        "'infinity'::TIMESTAMP",
        "[DATE '20000-01-01']",
    ],
)
def test_row_with_a_date_outside_of_four_digits_is_a_dead_letter_among_its_neighbours(
    copied: Callable[[str], None], source: Make, value: str
) -> None:
    copied(f"SELECT * FROM (VALUES (1, NULL), (2, {value}), (3, NULL)) t(i, a)")

    [chunk] = source().read("x.parquet", "", 10)

    first, broken, last = chunk.arrivals
    assert (first.data, last.data) == ({"i": 1, "a": None}, {"i": 3, "a": None})
    assert broken.error == (
        "x.parquet: row 2: a date or moment outside of the years 1 to 9999 is not a value of a record"
    )


def test_the_dead_letter_of_such_a_row_has_the_number_that_the_file_holds(
    copied: Callable[[str], None], source: Make
) -> None:
    copied("SELECT 1 AS i, DATE '20000-01-01' AS d, TIMESTAMP '20000-01-01' AS t, 'infinity'::TIMESTAMP AS n")

    [chunk] = source().read("x.parquet", "", 10)

    assert msgspec.json.decode(chunk.arrivals[0].raw) == {
        "i": "1",
        "d": "6585322 days from 1970",
        "t": "568971820800000000 us from 1970",
        "n": "9223372036854775807 us from 1970",
    }


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("'2026-01-31 10:30:00.123456789'::TIMESTAMP_NS", "2026-01-31T10:30:00.123456789"),
        ("'1969-12-31 23:59:59.999999999'::TIMESTAMP_NS", "1969-12-31T23:59:59.999999999"),
        ("'2026-01-31 10:30:00.123456'::TIMESTAMP_NS", "2026-01-31T10:30:00.123456"),
        ("'2026-01-31 10:30:00'::TIMESTAMP_NS", "2026-01-31T10:30:00"),
        ("NULL::TIMESTAMP_NS", None),
    ],
)
def test_nanoseconds_are_kept(
    copied: Callable[[str], None], source: Make, value: str, read: str | None
) -> None:
    copied(f"SELECT {value} AS a")

    [chunk] = source().read("x.parquet", "", 10)

    assert chunk.records == [{"a": read}]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("['2026-01-31 10:30:00.123456789'::TIMESTAMP_NS, NULL]", ["2026-01-31T10:30:00.123456789", None]),
        ("[NULL::TIMESTAMP_NS[], []]", [None, []]),
        (
            "{'n': 1, 't': ['1969-12-31 23:59:59.999999999'::TIMESTAMP_NS]}",
            {"n": 1, "t": ["1969-12-31T23:59:59.999999999"]},
        ),
        ("[{'t': '2026-01-31 10:30:00.1'::TIMESTAMP_MS}]", [{"t": "2026-01-31T10:30:00.100000"}]),
        ("[{'t': '10:30:00.1'::TIME, 'm': MAP {'k': 1}}]", [{"t": "10:30:00.100000", "m": {"k": 1}}]),
    ],
)
def test_nanoseconds_inside_of_lists_and_structs_are_kept(
    copied: Callable[[str], None], source: Make, value: str, read: Any
) -> None:
    copied(f"SELECT {value} AS a UNION ALL SELECT NULL")

    [chunk] = source().read("x.parquet", "", 10)

    assert chunk.records == [{"a": read}, {"a": None}]


_T = "'2026-01-31 10:30:00.123456789'::TIMESTAMP_NS"
_READ = "2026-01-31T10:30:00.123456789"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (f"MAP {{'k': {_T}, 'n': NULL}}", {"k": _READ, "n": None}),
        (f"MAP {{{_T}: 1}}", {_READ: 1}),
        (f"[MAP {{'k': [{_T}]}}, MAP {{}}, NULL]", [{"k": [_READ]}, {}, None]),
        (
            f"{{'i': 1, 'm': MAP {{1: {{'t': {_T}, 's': 'x'}}}}}}",
            {"i": 1, "m": {"1": {"t": _READ, "s": "x"}}},
        ),
        (f"MAP {{'k': MAP {{{_T}: '10:30:00.1'::TIME}}}}", {"k": {_READ: "10:30:00.100000"}}),
        (
            f"MAP {{'k': MAP {{}}::MAP(INT, TIMESTAMP_NS), 'l': MAP {{1: {_T}}}}}",
            {"k": {}, "l": {"1": _READ}},
        ),
        (f"[{{'key': 'k', 'value': {_T}}}]", [{"key": "k", "value": _READ}]),
    ],
)
def test_nanoseconds_inside_of_maps_are_kept(
    copied: Callable[[str], None], source: Make, value: str, read: Any
) -> None:
    copied(f"SELECT {value} AS a UNION ALL SELECT NULL")

    [chunk] = source().read("x.parquet", "", 10)

    assert chunk.records == [{"a": read}, {"a": None}]


@pytest.mark.parametrize("value", ["{}", "[{}]", "{{'d': {}}}", "MAP {{1: {}}}"])
@pytest.mark.parametrize("date", ["'infinity'::DATE", "'-infinity'::DATE", "'20000-01-01'::DATE"])
def test_a_date_that_python_has_no_form_for_is_a_dead_letter_and_not_null(
    copied: Callable[[str], None], source: Make, value: str, date: str
) -> None:
    copied(f"SELECT {value.format(date)} AS a UNION ALL SELECT {value.format('NULL::DATE')}")

    [chunk] = source().read("x.parquet", "", 10)

    assert len(chunk.records) == 1
    [(_, broken)] = chunk.broken
    assert "row 1: a date or moment outside of the years 1 to 9999" in broken.error


_ID = "f47ac10b-58cc-4372-a567-0e02b2c3d479"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (f"'{_ID}'::UUID", _ID),
        (f"['{_ID}'::UUID, NULL]", [_ID, None]),
        (
            f"{{'b': 'x'::BLOB, 'm': MAP {{'{_ID}'::UUID: 1}}, 'u': '{_ID}'::UUID}}",
            {"b": "eA==", "m": {_ID: 1}, "u": _ID},
        ),
        (f"MAP {{1: {{'i': 1, 'u': '{_ID}'::UUID}}}}", {"1": {"i": 1, "u": _ID}}),
        (f"[MAP {{}}::MAP(INT, UUID), MAP {{1: '{_ID}'::UUID}}]", [{}, {"1": _ID}]),
        ("'0123456789abcdef'::BLOB", "MDEyMzQ1Njc4OWFiY2RlZg=="),
    ],
)
def test_a_uuid_is_text(copied: Callable[[str], None], source: Make, value: str, read: Any) -> None:
    copied(f"SELECT 'x' AS z, {value} AS a, 1 AS b UNION ALL SELECT 'y', NULL, 2")

    for columns in (["a", "b"], ["b", "a"]):
        [chunk] = source(columns=columns).read("x.parquet", "", 10)
        assert chunk.records == [{"a": read, "b": 1}, {"a": None, "b": 2}]


def test_a_moment_inside_of_a_map_that_python_has_no_form_for_is_a_dead_letter(
    copied: Callable[[str], None], source: Make
) -> None:
    copied("SELECT MAP {1: '290000-01-01'::TIMESTAMP} AS a UNION ALL SELECT MAP {1: '2026-01-31'::TIMESTAMP}")

    [chunk] = source().read("x.parquet", "", 10)

    assert chunk.records == [{"a": {"1": "2026-01-31T00:00:00"}}]
    [(_, broken)] = chunk.broken
    assert "row 1: a date or moment outside of the years 1 to 9999" in broken.error


def test_an_empty_map_inside_of_a_map_is_a_mapping(copied: Callable[[str], None], source: Make) -> None:
    copied("SELECT MAP {'a': MAP {}::MAP(INT, INT[]), 'b': MAP {1: []}} AS a")

    [chunk] = source().read("x.parquet", "", 10)

    assert chunk.records == [{"a": {"a": {}, "b": {"1": []}}}]


def test_a_moment_inside_of_a_list_that_python_has_no_form_for_is_a_dead_letter(
    copied: Callable[[str], None], source: Make
) -> None:
    copied("SELECT ['290000-01-01'::TIMESTAMP] AS a UNION ALL SELECT ['2026-01-31'::TIMESTAMP]")

    [chunk] = source().read("x.parquet", "", 10)

    assert chunk.records == [{"a": ["2026-01-31T00:00:00"]}]
    [(_, broken)] = chunk.broken
    assert "row 1: a date or moment outside of the years 1 to 9999" in broken.error


def test_an_empty_map_is_a_mapping(copied: Callable[[str], None], source: Make) -> None:
    none, null = "MAP {}::MAP(VARCHAR, INT)", "NULL::MAP(VARCHAR, INT)"
    copied(f"SELECT {none} AS a, [{none}] AS b, {{'m': {none}}} AS c, []::INT[] AS d, {null} AS e")

    [chunk] = source().read("x.parquet", "", 10)

    assert chunk.records == [{"a": {}, "b": [{}], "c": {"m": {}}, "d": [], "e": None}]


def test_a_column_of_intervals_is_refused_and_can_be_left_out(
    copied: Callable[[str], None], source: Make
) -> None:
    copied("SELECT 1 AS i, INTERVAL 1 DAY AS k")

    with pytest.raises(SourceError, match=r"column 'k' holds intervals.*leave it out: `columns"):
        next(iter(source().read("x.parquet", "", 10)))
    [chunk] = source(columns=["i"]).read("x.parquet", "", 10)

    assert chunk.records == [{"i": 1}]


def test_two_columns_of_one_name_are_refused_rather_than_one_lost(tmp_path: Path, source: Make) -> None:
    numbers = arrow.Array([1], I64)
    schema = arrow.Schema([arrow.Field("a", I64), arrow.Field("a", I64)])
    arro3.io.write_parquet(arrow.Table.from_arrays([numbers, numbers], schema=schema), tmp_path / "x.parquet")

    with pytest.raises(SourceError, match="it has several columns 'a'"):
        next(iter(source().read("x.parquet", "", 10)))
