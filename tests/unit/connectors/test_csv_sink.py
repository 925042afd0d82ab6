"""The csv sink: columns, quoting, and records that do not fit."""

from __future__ import annotations

import contextlib
import csv
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.csv.rows import Rows
from rsq_pipe.connectors.files.unpacked import Unpacked
from rsq_pipe.connectors.sink import Sink
from rsq_pipe.errors import EncodeError, SinkError
from rsq_pipe.model.batch import Batch

Make = Callable[..., Sink]
MakeBatch = Callable[..., Batch]


def test_first_record_gives_the_columns_and_values_are_quoted_as_rfc_4180_says(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    made = sink("csv", path="out/x.csv")
    made.open(None)
    made.write(batch({"id": 1, "na,me": 'say "hi"', "ok": True}, {"ok": None, "id": 2.5, "na,me": "é\r\nf"}))
    made.write(batch({"id": 3, "na,me": [1, {"a": None}], "ok": "\r"}))

    assert (tmp_path / "out/x.csv").read_bytes().decode() == (
        'id,"na,me",ok\n1,"say ""hi""",true\n2.5,"é\r\nf",\n3,"[1,{""a"":null}]","\r"\n'
    )
    with (tmp_path / "out/x.csv").open(newline="", encoding="utf-8") as file:
        assert [row["na,me"] for row in csv.DictReader(file)] == ['say "hi"', "é\r\nf", '[1,{"a":null}]']


def test_record_with_other_fields_fails_alone(tmp_path: Path, sink: Make, batch: MakeBatch) -> None:
    made = sink("csv", path="x.csv")
    made.open(None)

    written = made.write(batch({"a": 1}, {"a": 2, "b": 0}, {}, "text", {"a": "\ud800"}, {"a": 3}))

    assert {index: str(error).partition(";")[0] for index, error in written.failures.items()} == {
        1: "no column for 'b'",
        2: "no field 'a'",
        3: "a row needs a record with at least one field",
        4: str(written.failures[4]),
    }
    assert "`extra: ignore`" in str(written.failures[1])
    assert "`missing: empty`" in str(written.failures[2])
    assert (tmp_path / "x.csv").read_text() == "a\n1\n3\n"


def test_several_fields_without_a_column_are_named_together(sink: Make, batch: MakeBatch) -> None:
    made = sink("csv", path="x.csv", fields=["a"])
    made.open(None)

    failures = made.write(batch({"a": 1, "b": 2, "c": 3})).failures

    assert str(failures[0]) == "no column for 'b', 'c'; name them in `fields`, or set `extra: ignore`"


def test_fields_without_a_column_and_columns_without_a_field_are_named_at_once(
    sink: Make, batch: MakeBatch
) -> None:
    made = sink("csv", path="x.csv", fields=["a", "d"])
    made.open(None)

    failures = made.write(batch({"a": 1, "b": 2})).failures

    assert str(failures[0]) == (
        "no column for 'b'; name it in `fields`, or set `extra: ignore`; "
        "and no field 'd'; set `missing: empty` to leave its column empty"
    )


def test_extra_and_missing_fields_can_be_allowed(tmp_path: Path, sink: Make, batch: MakeBatch) -> None:
    made = sink("csv", path="x.csv", fields=["b", "a"], extra="ignore", missing="empty")
    made.open(None)

    written = made.write(batch({"a": 1, "c": 9}, {"b": 2, "a": 3}))

    assert written.failures == {}
    assert (tmp_path / "x.csv").read_text() == "b,a\n,1\n2,3\n"


def test_record_that_cannot_be_written_does_not_give_the_columns(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    made = sink("csv", path="x.csv")
    made.open(None)
    assert list(made.write(batch({"bad": "\ud800"}, {"\ud800": 1}, {})).failures) == [0, 1, 2]
    assert (tmp_path / "x.csv").read_bytes() == b""

    made.write(batch({"good": 1}))

    assert (tmp_path / "x.csv").read_text() == "good\n1\n"


def test_columns_of_a_written_file_stay_when_it_is_opened_again(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    made = sink("csv", path="x.csv")
    made.open(None)
    position = made.write(batch({"a": 1, "b\n": 2})).position
    made.close()

    again = sink("csv", path="x.csv")
    again.open(position)
    again.write(batch({"b\n": 4, "a": 3}))

    assert (tmp_path / "x.csv").read_text() == 'a,"b\n"\n1,2\n3,4\n'


def test_written_file_with_other_columns_than_fields_is_an_error(sink: Make, batch: MakeBatch) -> None:
    made = sink("csv", path="x.csv")
    made.open(None)
    position = made.write(batch({"a": 1})).position
    made.close()

    with pytest.raises(SinkError, match=r"x\.csv has the columns a, not those of `fields`"):
        sink("csv", path="x.csv", fields=["b"]).open(position)


def test_uncommitted_header_is_written_again(tmp_path: Path, sink: Make, batch: MakeBatch) -> None:
    made = sink("csv", path="x.csv")
    begin = made.open(None)
    made.write(batch({"a": 1}))

    made.open(begin)
    made.write(batch({"z": 1}))

    assert (tmp_path / "x.csv").read_text() == "z\n1\n"


@pytest.mark.parametrize("extra", ["error", "ignore"])
def test_rows_written_at_once_are_those_written_one_by_one(extra: Any) -> None:
    draw = random.Random(7)
    values = [
        "",
        "plain",
        'a "quote"',
        "two\nlines",
        "cr\rhere",
        "é,;",
        0,
        -1,
        1.5,
        None,
        True,
        [1],
        {"a": 1},
    ]
    for _ in range(200):
        records = [{name: draw.choice(values) for name in "abc"} for _ in range(draw.randint(1, 6))]
        if draw.random() < 0.2:
            records[0]["d"] = 1
        if draw.random() < 0.2:
            del records[-1]["b"]
        at_once, one_by_one = Rows("abc", extra=extra), Rows("abc", extra=extra)

        whole = at_once.add_all(records)

        for record in records:
            with contextlib.suppress(EncodeError):
                one_by_one.add(record)
        assert at_once.data() == (one_by_one.data() if whole else b"")


FORMULAS = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "a=1", "'=1"]


@pytest.mark.parametrize("nested", [None, ["=1"]])
def test_text_that_a_spreadsheet_would_run_is_escaped_and_numbers_are_not(
    sink: Make, batch: MakeBatch, tmp_path: Path, nested: object
) -> None:
    made = sink("csv", path="out.csv", formulas="escape")
    made.open(None)

    made.write(batch(*({"=a": text, "n": -1.5, "x": nested} for text in FORMULAS)))

    with (tmp_path / "out.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["'=a", "n", "x"]
    assert [row[0] for row in rows] == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "a=1", "'=1"]
    assert {row[1] for row in rows} == {"-1.5"}


def test_another_process_goes_on_under_an_escaped_header_and_with_the_delimiter(
    sink: Make, batch: MakeBatch, tmp_path: Path
) -> None:
    options = {"path": "out.csv", "formulas": "escape", "delimiter": ";"}
    first = sink("csv", **options)
    first.open(None)
    position = first.write(batch({"=a": "x;y", "b": 1})).position
    first.close()

    second = sink("csv", **options)
    second.open(position)
    second.write(batch({"=a": "z,", "b": 2}))

    assert (tmp_path / "out.csv").read_bytes() == b'\'=a;b\n"x;y";1\nz,;2\n'


@pytest.mark.parametrize("suffix", ["gz", "bz2", "zst"])
def test_packed_file_is_gone_on_in_by_its_header(
    sink: Make, batch: MakeBatch, tmp_path: Path, suffix: str
) -> None:
    name = f"out.csv.{suffix}"
    first = sink("csv", path=name)
    first.open(None)
    position = first.write(batch({"a": 1, "b": "é"})).position
    first.write(batch({"a": "not committed", "b": None}))
    first.close()

    second = sink("csv", path=name)
    second.open(position)
    second.write(batch({"b": 2, "a": 3}))

    with io.BufferedReader(Unpacked(tmp_path / name)) as file:
        assert file.read().decode() == "a,b\n1,é\n3,2\n"
