"""How csv files are written: delimiters, quotes, encodings, comments, numbers and dates of other places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rsq_pipe.connectors.source import Arrival
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SourceError

Write = Callable[[str, bytes], Path]
Arrivals = Callable[..., list[Arrival]]


def test_quote_may_be_another_character_or_none(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"a,b\n'1,2',\"3\"\n")
    write("y.csv", b'a,b\n"1,2"\n')

    [single] = arrivals("csv", path="x.csv", quote="'")
    [none] = arrivals("csv", path="y.csv", quote="")

    assert single.data == {"a": "1,2", "b": '"3"'}
    assert none.data == {"a": '"1', "b": '2"'}


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "iso-8859-15", "gb18030"],
)
def test_file_is_read_in_its_encoding(encoding: str, write: Write, arrivals: Arrivals) -> None:
    rows = "".join(f'{n},"Müller\n{n}"\n{n},é\n' for n in range(2_000))
    write("x.csv", f"n,name\n{rows}".encode(encoding))

    read = arrivals("csv", path="x.csv", encoding=encoding, types={"n": "int"})

    assert len(read) == 4_000
    assert read[0] == Arrival("x.csv:2", {"n": 0, "name": "Müller\n0"})
    assert read[-1] == Arrival("x.csv:6001", {"n": 1999, "name": "é"})


def test_packed_file_of_wide_characters_is_read(write: Write, arrivals: Arrivals) -> None:
    write("x.csv.gz", "a,b\n1,é\n".encode("utf-16"))

    [arrival] = arrivals("csv", path="x.csv.gz", encoding="utf-16")

    assert arrival.data == {"a": "1", "b": "é"}


@pytest.mark.parametrize(
    ("encoding", "bad"), [("cp1252", b"\x81"), ("utf-16-le", b"\x00\xd8"), ("utf-32-le", b"\xff\xff\xff\x7f")]
)
def test_bytes_that_are_no_text_are_one_dead_letter(
    encoding: str, bad: bytes, write: Write, arrivals: Arrivals
) -> None:
    before, after = "a,b\n1,x\n2,".encode(encoding), "\n3,y\n".encode(encoding)
    write("x.csv", before + bad + after)

    first, broken, last = arrivals("csv", path="x.csv", encoding=encoding)

    assert (first.data, last.data) == ({"a": "1", "b": "x"}, {"a": "3", "b": "y"})
    assert broken.data is None
    assert broken.offset == "x.csv:3"


def test_half_a_character_at_the_end_spoils_its_line_alone(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", "a\nx\ny".encode("utf-16-le") + b"\x01")

    first, broken = arrivals("csv", path="x.csv", encoding="utf-16-le")

    assert (first.data, broken.data) == ({"a": "x"}, None)


def test_columns_name_those_of_a_file_without_a_header(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"1,a\n2,b\n")

    read = arrivals("csv", path="x.csv", header=False, columns=["id", "name"], types={"id": "int"})

    assert read == [
        Arrival("x.csv:1", {"id": 1, "name": "a"}),
        Arrival("x.csv:2", {"id": 2, "name": "b"}),
    ]


def test_lines_before_the_header_and_comments_are_passed_over(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b'Report, "of May\n\n# columns\nid,note\n# first\n1,a\n2,"b\n# no comment"\n#\n3,c\n')

    read = arrivals("csv", path="x.csv", skip=2, comment="#")

    assert read == [
        Arrival("x.csv:6", {"id": "1", "note": "a"}),
        Arrival("x.csv:7", {"id": "2", "note": "b\n# no comment"}),
        Arrival("x.csv:10", {"id": "3", "note": "c"}),
    ]


def test_trim_takes_white_space_around_fields_and_names(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b'id , note\n 1 , "a, b"\n2,\tc \n3,  \n')

    read = arrivals("csv", path="x.csv", trim=True, types={"id": "int"})

    assert [arrival.data for arrival in read] == [
        {"id": 1, "note": "a, b"},
        {"id": 2, "note": "c"},
        {"id": 3, "note": None},
    ]


def test_decimal_comma_and_dates_of_a_format_become_what_records_hold(
    write: Write, arrivals: Arrivals
) -> None:
    write("x.csv", b"p;m;d;t\n1,5;-2,50;31.01.2026;31.01.2026 10:30\n1.5;1,1;x;\n")
    types = {"p": "float", "m": "decimal"}
    formats = {"d": "%d.%m.%Y", "t": "%d.%m.%Y %H:%M"}

    good, broken = arrivals("csv", path="x.csv", delimiter=";", decimal=",", types=types, formats=formats)

    assert good.data == {"p": 1.5, "m": "-2.50", "d": "2026-01-31", "t": "2026-01-31T10:30:00Z"}
    assert broken.error == "x.csv:3: column 'p': '1.5' is not of type float (12,5, 1e3)"


def test_date_that_is_not_of_its_format_is_told_with_it(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"d\n2026-01-31\n")

    [broken] = arrivals("csv", path="x.csv", formats={"d": "%d.%m.%Y"})

    assert broken.error == "x.csv:2: column 'd': '2026-01-31' is not a date of the format '%d.%m.%Y'"


def test_format_of_a_column_that_is_not_there_is_an_error(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"day\n1\n")

    with pytest.raises(SourceError, match=r"x.csv:1: `formats` names a column 'dya'.*'day'"):
        arrivals("csv", path="x.csv", formats={"dya": "%Y-%m-%d"})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"encoding": "latin1x"}, "there is no encoding 'latin1x'.*did you mean 'latin-1'"),
        ({"encoding": "base64"}, "there is no encoding"),
        ({"encoding": "utf-7"}, "there is no encoding"),
        ({"encoding": "idna"}, "there is no encoding"),
        ({"encoding": "cp037"}, "there is no encoding"),
        ({"header": False}, "need `columns`"),
        ({"columns": ["a"]}, "set `header: false`"),
        ({"header": False, "columns": ["a", "a"]}, "'a' twice"),
        ({"delimiter": "#", "comment": "#"}, "cannot be two"),
        ({"delimiter": "'", "quote": "'"}, "cannot be two"),
        ({"formats": {"d": "%d.%m"}}, "has no year"),
        ({"path": "-", "types": "infer"}, "not inferred"),
        ({"path": "-", "encoding": "utf-16"}, "iconv"),
        ({"final": False, "encoding": "utf-16"}, "end is final"),
        ({"types": {"a": "infer", "b": "integer"}}, "infer"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        connector("source", "csv").options(**{"path": "x.csv", **options})
