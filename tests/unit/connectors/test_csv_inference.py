"""Types that are told from a file's first rows: which, and that they stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rsq_pipe.connectors.csv.inference import infer
from rsq_pipe.connectors.source import Arrival, Source

Write = Callable[[str, bytes], Path]
Arrivals = Callable[..., list[Arrival]]
Connect = Callable[..., Source]


@pytest.mark.parametrize(
    ("fields", "type_"),
    [
        (["1", "-2", ""], "int"),
        (["1", "2.5"], "float"),
        (["1e3", "2"], "float"),
        (["007", "1"], "str"),
        (["0", "10"], "int"),
        (["0.5"], "float"),
        (["12345678901234567890"], "str"),
        (["true", "No"], "bool"),
        (["1", "0"], "int"),
        (["2026-01-31"], "date"),
        (["2026-01-31T10:00:00Z", "2026-01-31"], "datetime"),
        (["20260131"], "int"),
        (["2026-W07"], "str"),
        (["1_000"], "str"),
        (["\u0661"], "str"),
        (["nan"], "str"),
        (["NA", "3"], "int"),
        (["", "NA"], "str"),
        (["a", "1"], "str"),
    ],
)
def test_type_is_the_narrowest_that_every_field_has(fields: list[str], type_: str) -> None:
    assert infer(["x"], [[text] for text in fields], ["NA"]) == {"x": type_}


def test_decimal_comma_is_inferred_where_it_is_set() -> None:
    assert infer(["x", "y"], [["1,5", "1.5"]], [], ",") == {"x": "float", "y": "str"}


def test_types_are_inferred_told_and_given_ones_stay(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"zip,n,day\n10115,1,2026-01-31\nbroken\n80331,2,\n")

    with capture_logs() as logs:
        first, _, last = arrivals("csv", path="x.csv", types={"zip": "str", "*": "infer"})

    assert first.data == {"zip": "10115", "n": 1, "day": "2026-01-31"}
    assert last.data == {"zip": "80331", "n": 2, "day": None}
    assert [log["event"] for log in logs] == ["types inferred from the first 1,000 rows: n int, day date"]


def test_field_behind_the_sample_that_is_not_of_the_type_is_a_dead_letter(
    write: Write, arrivals: Arrivals
) -> None:
    write("x.csv", b"n\n1\n2\nx\n")

    *_, broken = arrivals("csv", path="x.csv", types="infer", infer_rows=2)

    assert broken.error == "x.csv:4: column 'n': 'x' is not of type int (12, -3)"


def test_resume_reads_on_by_the_types_stored_whatever_the_sample_is_now(
    write: Write, source: Connect
) -> None:
    path = write("x.csv", b"n,s\n1,a\n2,b\n")
    [chunk] = source("csv", path="x.csv", types="infer").read("x.csv", "", 100)
    path.write_bytes(path.read_bytes() + b"3.5,c\n4,d\n")

    [later] = source("csv", path="x.csv", types="infer").read("x.csv", chunk.position, 100)

    assert [arrival.data for arrival in later.arrivals] == [None, {"n": 4, "s": "d"}]
    assert later.position.endswith('|{"n":"int","s":"str"}')
    [fresh] = source("csv", path="x.csv", types="infer").read("x.csv", "", 100)
    assert fresh.records[0] == {"n": 1.0, "s": "a"}


def test_a_column_that_is_text_for_a_value_like_na_is_told(write: Write, arrivals: Arrivals) -> None:
    write("x.csv", b"id,delay,city\n1,5,NYC\n2,NA,LA\n3,7,NA\n")

    with capture_logs() as lines:
        arrivals("csv", path="x.csv", types="infer")

    [event] = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert event.startswith("column 'delay' is text, since it holds 'NA'; ")
    assert event.endswith('set `na: ["NA"]`, and it is int')
