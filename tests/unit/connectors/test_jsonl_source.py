"""The jsonl source: which lines are records, and what becomes of those that are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rsq_pipe.connectors.jsonl.json_object import parse
from rsq_pipe.connectors.source import Arrival

Write = Callable[[str, bytes], Path]
Arrivals = Callable[..., list[Arrival]]


def test_record_comes_with_its_line_number_and_its_bytes(write: Write, arrivals: Arrivals) -> None:
    write("data/orders.jsonl", b'{"id": 1}\n\n  \n{"id":  2}\r\n')

    assert arrivals("jsonl", path="data/orders.jsonl") == [
        Arrival("orders.jsonl:1", {"id": 1}, b'{"id": 1}'),
        Arrival("orders.jsonl:4", {"id": 2}, b'{"id":  2}'),
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            b"{'id': 1}",
            "it is not JSON: object keys must be strings (byte 1); this looks like a dict as Python",
        ),
        (b'{"id": 1', "it is not JSON: it ends too early"),
        (b'{"id": "\\ud800"}', "it is not JSON: it holds half a surrogate pair, which is not text"),
        (b'{"id": "\\ud800 and more of it"}', "it holds half a surrogate pair, which is not text"),
        (b'{"id": "\\udc00"}', "it holds half a surrogate pair, which is not text"),
        (b'{"id": "\\ud800', "it ends too early"),
        (b'{"id": 1} {"id": 2}', "trailing"),
        (b"[1, 2]", "an array"),
        (b"17", "a number"),
        (b"null", "null"),
        (b'{"id": 1, "id": 2}', "'id' appears twice in one object"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' appears twice in one object"),
        (b'{"id": NaN}', "it is not JSON: invalid character (byte 7); JSON has no NaN: write null"),
        (b'{"id": [1, -Infinity]}', "; JSON has no -Infinity: write null"),
        (b'{"id": 1e999}', "a number is out of range"),
        (b'{"name": "\xff"}', "it is not UTF-8: it holds byte 0xff"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_line_that_is_not_a_record_arrives_broken_with_its_place_and_bytes(
    write: Write, arrivals: Arrivals, line: bytes, why: str
) -> None:
    write("in/x.jsonl", b'{"id": 0}\n' + line + b'\n{"id": 3}\n')

    before, broken, after = arrivals("jsonl", path="in/*.jsonl")

    assert (before.data, after.data) == ({"id": 0}, {"id": 3})
    assert (broken.offset, broken.data, broken.raw) == ("x.jsonl:2", None, line)
    assert broken.error.startswith("in/x.jsonl:2: ")
    assert why in broken.error


@pytest.mark.parametrize(
    "line",
    [
        b'{"a": "\\u0022:", "a": "x"}',
        b'{"a" : "say \\"a\\": 1", "b": 1, "a" :2}',
        b'{"\\u0061": 1, "a": 1}',
        b'{"a": {"k": "\\u0022\\u0022"}, "a": {}}',
    ],
)
def test_key_that_stands_twice_is_found_however_it_is_spelled(line: bytes) -> None:
    with pytest.raises(ValueError, match="'a' appears twice in one object"):
        parse(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"a": "\\u0022a\\u0022: 1"}',
        b'{"a": [{"k": 1}, {"k": 2}], "k": 3}',
        b'{"a": "\\"\\"\\"", "b": "10:00", "c" : ""}',
        b'{"n": 123456789012345678901234567890}',
    ],
)
def test_keys_that_only_look_alike_are_no_duplicates(line: bytes) -> None:
    assert parse(line)


def test_overlong_line_arrives_capped_and_reading_goes_on_behind_it(write: Write, arrivals: Arrivals) -> None:
    long = b'{"id": "' + b"x" * 3_000_000 + b'"}'
    write("x.jsonl", b'{"id": 0}\n' + long + b'\n{"id": 2}\n')

    _, broken, after = arrivals("jsonl", path="x.jsonl", max_line="100KiB")

    assert broken.raw == long[: 64 * 1024]
    assert "max_line" in broken.error
    assert (after.offset, after.data) == ("x.jsonl:3", {"id": 2})


def test_line_of_exactly_max_line_is_read(write: Write, arrivals: Arrivals) -> None:
    write("x.jsonl", b'{"id": 1234}\n{"id": 12345}\n')

    fits, too_long = arrivals("jsonl", path="x.jsonl", max_line="12B")

    assert fits.data == {"id": 1234}
    assert "max_line" in too_long.error


def test_byte_order_mark_is_no_part_of_the_record(write: Write, arrivals: Arrivals) -> None:
    write("x.jsonl", b'\xef\xbb\xbf{"id": 1}\n')

    assert [arrival.data for arrival in arrivals("jsonl", path="x.jsonl")] == [{"id": 1}]


@pytest.mark.timeout(10)
def test_key_that_stands_twice_among_95_000_is_found_in_linear_time() -> None:
    line = b"{" + b",".join(b'"key%d":1' % n for n in [*range(95_000), 94_999]) + b"}"

    with pytest.raises(ValueError, match="'key94999' appears twice in one object"):
        parse(line)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b'[\n  {"id": 1},\n  {"id": 2}\n]\n', "one JSON array"),
        (b'[{"id": 1}, {"id": 2}]\n', "one JSON array"),
        (b"[" + b'{"id": 1}, ' * 1000 + b"]\n", "one JSON array"),
        (b'{\n  "id": 1\n}\n', "objects of several lines"),
        ('{"id": 1}\n{"id": 2}\n'.encode("utf-16"), "looks like UTF-16"),
        (b"id,qty\n1,2\n", "this looks like csv: read it by `type: csv`"),
    ],
)
def test_file_that_is_json_and_not_json_lines_is_told_in_its_first_dead_letter(
    write: Write, arrivals: Arrivals, data: bytes, hint: str
) -> None:
    write("x.json", data)

    first, *others = arrivals("jsonl", path="x.json", max_line="5KiB")

    assert hint in first.error
    assert not any(hint in arrival.error for arrival in others)
