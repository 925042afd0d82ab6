"""The csv source: rows, types, nulls, and what becomes of rows that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import process_time

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from rsq_pipe.connectors.source import Arrival
from rsq_pipe.errors import SourceError

Write = Callable[[str, bytes], Path]
Arrivals = Callable[..., list[Arrival]]


def test_row_becomes_a_record_of_text_under_the_header(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b'\xef\xbb\xbfid,"na""me"\r\n1,"Smith, J."\r\n\r\n2,"two\nlines"\r\n3,\xc3\xa9')

    assert arrivals("csv", path="x.csv") == [
        Arrival("x.csv:2", {"id": "1", 'na"me': "Smith, J."}),
        Arrival("x.csv:4", {"id": "2", 'na"me': "two\nlines"}),
        Arrival("x.csv:6", {"id": "3", 'na"me': "é"}),
    ]


def test_types_are_applied_and_na_and_empty_fields_are_null(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"i,f,b,s,d,t,m\n-7,1e3,Yes,NA,2013-01-31,2013-01-31T10:00:00Z,1.10\nNA,,,,,,\n")
    types = {"i": "int", "f": "float", "b": "bool", "d": "date", "t": "datetime", "m": "decimal"}

    first, second = arrivals("csv", path="x.csv", types=types, na=["NA"])

    assert first.data == {
        "i": -7,
        "f": 1000.0,
        "b": True,
        "s": None,
        "d": "2013-01-31",
        "t": "2013-01-31T10:00:00Z",
        "m": "1.10",
    }
    assert second.data == dict.fromkeys("ifbsdtm")


def test_empty_text_can_be_kept_while_empty_numbers_are_null(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"name,age\n,\n")

    [arrival] = arrivals("csv", path="x.csv", types={"age": "int"}, empty="keep")

    assert arrival.data == {"name": "", "age": None}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "1_000"),
        ("int", "1.5"),
        ("float", "nan"),
        ("float", "inf"),
        ("float", "1_0"),
        ("bool", "maybe"),
        ("date", "31.01.2013"),
        ("datetime", "noon"),
        ("decimal", "NaN"),
        ("decimal", "ten"),
    ],
)
def test_field_that_is_not_of_its_type_breaks_its_row_only(
    write: Write, arrivals: Arrivals, kind: str, text: str
) -> None:
    write("in/x.csv", f"a,v\n1,\n2,{text}\n3,\n".encode())

    before, broken, after = arrivals("csv", path="in/x.csv", types={"v": kind})

    assert broken.error.startswith(f"in/x.csv:3: column 'v': {text!r} is not of type {kind} (")
    assert (broken.offset, broken.data, broken.raw) == ("x.csv:3", None, f"2,{text}".encode())
    assert (before.data, after.data) == ({"a": "1", "v": None}, {"a": "3", "v": None})


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"1", "1 field where the header has 2"),
        (b"1,2,3", "3 fields where the header has 2"),
        (b"1,\xff", "it is not UTF-8: it holds byte 0xff"),
        (b'1,"a"b', "a closing quote is followed by"),
        (b"1,a\rb", "a field without quotes contains a carriage return"),
    ],
)
def test_row_that_cannot_be_read_arrives_broken(
    write: Write, arrivals: Arrivals, row: bytes, why: str
) -> None:
    write("x.csv", b"a,b\n" + row + b"\n3,4\n")

    broken, after = arrivals("csv", path="x.csv")

    assert why in broken.error
    assert broken.raw == row
    assert after == Arrival("x.csv:3", {"a": "3", "b": "4"})


@pytest.mark.parametrize("limit", ["1MiB", "20B"])
def test_quote_that_is_never_closed_costs_its_line_and_not_the_rest_of_the_file(
    write: Write, arrivals: Arrivals, limit: str
) -> None:
    write("x.csv", b'a,b\n1,"open\n' + b"".join(b"%d,x\n" % n for n in range(2, 9)))

    broken, *rows = arrivals("csv", path="x.csv", max_line=limit)

    assert (broken.offset, broken.raw) == ("x.csv:2", b'1,"open')
    assert [(row.offset, row.data) for row in rows] == [
        (f"x.csv:{n + 1}", {"a": str(n), "b": "x"}) for n in range(2, 9)
    ]


def test_overlong_line_arrives_capped_and_reading_goes_on_behind_it(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"a,b\n1," + b"x" * 3_000_000 + b"\n3,4\n")

    broken, after = arrivals("csv", path="x.csv", max_line="100KiB")

    assert broken.raw == b"1," + b"x" * (64 * 1024 - 2)
    assert "max_line" in broken.error
    assert after == Arrival("x.csv:3", {"a": "3", "b": "4"})


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"\na,b\n", "does not begin with a header line"),
        (b"a,b,a", "names column 'a' twice"),
        (b"a,,b", "column 2 of the header has no name"),
        (b'a,"b', "a quote is opened and not closed"),
        (b"a,size", "did you mean 'size'"),
    ],
)
def test_header_that_cannot_be_meant_ends_the_source(
    write: Write, arrivals: Arrivals, header: bytes, why: str
) -> None:
    write("x.csv", header)

    with pytest.raises(SourceError, match=r"^x\.csv:1: ") as caught:
        arrivals("csv", path="x.csv", types={"sizes": "int"} if b"size" in header else {})

    assert why in str(caught.value)


@pytest.mark.parametrize("nothing", [b"", b"\xef\xbb\xbf"])
def test_empty_file_holds_no_record_and_is_told(write: Write, arrivals: Arrivals, nothing: bytes) -> None:
    write("x.csv", nothing)

    with capture_logs() as lines:
        assert arrivals("csv", path="x.csv") == []

    assert [(line["event"].partition(":")[0], line["file"]) for line in lines] == [
        ("the file is empty", "x.csv")
    ]


def test_fields_may_be_parted_by_another_character(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"a;b\n1,5;2\n")

    assert [arrival.data for arrival in arrivals("csv", path="x.csv", delimiter=";")] == [
        {"a": "1,5", "b": "2"}
    ]


def test_unknown_option_is_refused(arrivals: Arrivals) -> None:
    with pytest.raises(ValidationError, match="delimeter"):
        arrivals("csv", path="x.csv", delimeter=";")


@pytest.mark.timeout(20)
def test_header_of_many_columns_is_checked_in_linear_time(write: Write, arrivals: Arrivals) -> None:
    names = [f"c{number}" for number in range(100_000)]
    write("x.csv", ",".join(names).encode() + b"\n" + b"," * 99_999)
    write("twice.csv", ",".join([*names, "c99999"]).encode())

    [row] = arrivals("csv", path="x.csv", types=dict.fromkeys(names, "int"))

    assert row.data == dict.fromkeys(names)
    with pytest.raises(SourceError, match="names column 'c99999' twice"):
        arrivals("csv", path="twice.csv")


def test_field_that_is_no_date_is_told_how_a_date_is_written(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"d\n1.2.2013\n")

    [broken] = arrivals("csv", path="x.csv", types={"d": "date"})

    assert broken.error == (
        "x.csv:2: column 'd': '1.2.2013' is not of type date (YYYY-MM-DD); "
        'if all are written like that, set `formats: {d: "%d.%m.%Y"}`'
    )


@pytest.mark.parametrize(
    ("header", "options", "likely"),
    [
        ("a;b", {}, 'set `delimiter: ";"`'),
        ("a\tb\tc", {}, 'set `delimiter: "\\t"`'),
        ("a|b", {}, 'set `delimiter: "|"`'),
        ("a,b", {"delimiter": ";"}, 'set `delimiter: ","`'),
        ("a", {}, ""),
        ("a;b,c", {}, ""),
        ('"a,b"', {}, ""),
    ],
)
def test_only_column_that_another_character_seems_to_part_is_told(
    write: Write, arrivals: Arrivals, header: str, options: dict[str, str], likely: str
) -> None:
    write("x.csv", f"{header}\n".encode())

    with capture_logs() as lines:
        arrivals("csv", path="x.csv", **options)

    assert len(lines) == bool(likely)
    assert all(likely in line["event"] and line["file"] == "x.csv" for line in lines)


def test_tabs_part_fields_where_the_pipeline_file_says_so(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"a\tb\n1\t2,5\n")

    [arrival] = arrivals("csv", path="x.csv", delimiter="\t")

    assert arrival.data == {"a": "1", "b": "2,5"}


@pytest.mark.parametrize(
    ("kind", "text", "fix"),
    [
        ("int", "NA", 'if that stands for no value, set `na: ["NA"]`'),
        ("float", "n/a", 'if that stands for no value, set `na: ["n/a"]`'),
        ("float", "12,5", 'if the comma stands before the decimals, set `decimal: ","`'),
        ("date", "31.01.2026", 'if all are written like that, set `formats: {v: "%d.%m.%Y"}`'),
        ("date", "31/1/2026", 'if all are written like that, set `formats: {v: "%d/%m/%Y"}`'),
        ("datetime", "1/31/2026 9:30", 'if all are written like that, set `formats: {v: "%m/%d/%Y %H:%M"}`'),
        (
            "datetime",
            "2026/01/31T09:30:00",
            'if all are written like that, set `formats: {v: "%Y/%m/%dT%H:%M:%S"}`',
        ),
    ],
)
def test_field_of_the_wrong_type_names_the_setting_that_reads_it(
    write: Write, arrivals: Arrivals, kind: str, text: str, fix: str
) -> None:
    write("x.csv", f'a,v\n1,"{text}"\n'.encode())

    [broken] = arrivals("csv", path="x.csv", types={"v": kind})

    assert broken.error.endswith(f"; {fix}")


def test_format_that_is_proposed_reads_the_date(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"v\n31.01.2026 09:30\n")

    [row] = arrivals("csv", path="x.csv", types={"v": "datetime"}, formats={"v": "%d.%m.%Y %H:%M"})

    assert row.data == {"v": "2026-01-31T09:30:00Z"}


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (
            "id,país\n".encode("latin-1"),
            "if it is written in another encoding, set that: `encoding: cp1252`, say",
        ),
        ("id,name\n".encode("utf-16"), "it begins like UTF-16: set `encoding: utf-16`"),
        (b"\x1f\x8b\x08\x00\n", "it is compressed by gzip: end its name in .gz"),
        (b"PK\x03\x04\x14\x00\n1\n", "unpack it, or save it as csv"),
        (b"PK\x03\x04\x14\xff\n1\n", "unpack it, or save it as csv"),
        (b"id,name\r1,a\r2,b\r", "convert it: tr '\\r' '\\n'"),
        (
            b"id,id\n1,2\n",
            "name the columns in the pipeline file: `header: false`, `skip: 1`, `columns: [...]`",
        ),
        (
            b"id,name,\n1,2,\n",
            "name the columns in the pipeline file: `header: false`, `skip: 1`, `columns: [...]`",
        ),
    ],
)
def test_file_that_is_not_read_names_what_to_do(
    write: Write, arrivals: Arrivals, content: bytes, fix: str
) -> None:
    write("x.csv", content)

    with pytest.raises(SourceError) as caught:
        arrivals("csv", path="x.csv")

    assert str(caught.value).endswith(fix)


def test_row_in_another_encoding_names_the_setting(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", "id,name\n1,México\n".encode("latin-1"))

    [broken] = arrivals("csv", path="x.csv")

    assert broken.error.endswith(
        "byte 0xe9; if it is written in another encoding, set that: `encoding: cp1252`, say"
    )


def test_columns_named_in_the_settings_replace_a_header_that_names_one_twice(
    write: Write, arrivals: Arrivals
) -> None:
    write("x.csv", b"id,id\n1,2\n")

    [row] = arrivals("csv", path="x.csv", header=False, skip=1, columns=["id", "other"])

    assert row.data == {"id": "1", "other": "2"}


def test_a_file_whose_quotes_open_in_each_line_and_never_close_is_read_in_linear_time(
    write: Write, arrivals: Arrivals
) -> None:
    lines = [b"id,text\n", b'1,"open\n', *[b'some text","and more\n'] * 20_000, b"7,fine\n"]
    write("x.csv", b"".join(lines))

    begin = process_time()
    found = arrivals("csv", path="x.csv", max_line="64KiB")
    took = process_time() - begin

    assert [one.offset for one in found] == [f"x.csv:{place}" for place in range(2, 20_004)]
    assert [one.data for one in found if one.data] == [{"id": "7", "text": "fine"}]
    assert [one.raw + b"\n" for one in found if not one.data] == lines[1:-1]
    assert all(one.error.startswith(f"{one.offset}: ") for one in found if not one.data)
    assert took < 5  # seconds; it had been 16 for each MB


def test_a_row_of_several_lines_is_read_below_many_quotes_that_never_close(
    write: Write, arrivals: Arrivals
) -> None:
    rows = [b'"two\nlines",x\n'] * 5
    write("x.csv", b"".join([b"id,text\n", *[b'some text","and more\n'] * 20_000, b'z"\n', *rows]))

    found = arrivals("csv", path="x.csv", max_line="64KiB")

    assert [one.data for one in found if one.data] == [{"id": "two\nlines", "text": "x"}] * 5
