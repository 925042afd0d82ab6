"""Many lines read at once yield what they yield one by one, whatever stands in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.csv import source as csv
from rsq_pipe.connectors.csv.block import RowsAtOnce
from rsq_pipe.connectors.csv.columns import Columns
from rsq_pipe.connectors.csv.dialect import Dialect
from rsq_pipe.connectors.files.chunking import nothing
from rsq_pipe.connectors.jsonl import block
from rsq_pipe.connectors.jsonl import source as jsonl
from rsq_pipe.connectors.jsonl.block import objects_at_once
from rsq_pipe.connectors.source import Arrival, Source
from rsq_pipe.model.row_records import RowRecords

Write = Callable[[str, bytes], Path]
Connect = Callable[..., Source]

TYPES = {"i": "int", "f": "float", "b": "bool", "d": "date", "t": "datetime", "m": "decimal"}
FIELDS: dict[str, list[bytes]] = {
    "s": [
        b"text",
        b"",
        b"NA",
        b"\xc3\xa9",
        b"\xe2\x80\xa8",
        b"\x0b\x1c",
        b'"a,b"',
        b'"say ""x"""',
        b"\x00",
        b" x ",
    ],
    "i": [b"1", b"-7", b"", b"NA", b" 12 ", b"\xd9\xa3", b"007", b"1", b"2", b"3"],
    "f": [b"1.5", b"1e3", b"", b"NA", b"0"],
    "b": [b"true", b"No", b"1", b""],
    "d": [b"2013-01-31", b"NA", b"2013-02-01"],
    "t": [b"2013-01-31T10:00:00Z", b"2013-01-31 10:00", b""],
    "m": [b"1.10", b"-0", b"NA"],
}
ODD = [
    b'"two\nlines"',
    b'"two\r\nlines"',
    b'"open',
    b'a"b',
    b'"a"b',
    b"a\rb",
    b"\xff",
    b"1_000",
    b"nan",
    b"ten",
    b"a,b",
]
OBJECTS = [
    b'{"id": %d}',
    b'{"id":%d,"name":"a b","none":null}',
    b'{"id": %d, "at": "10:00:00", "tags": [{"k": 1}, {"k": 2}], "say": "\\"x\\""}',
    b'{"id": %d, "name": "\xc3\xa9 \\u00e9 \\u0022"}',
    b'  {"id": %d}\t',
    b'{"id": %d, "float": 1.0, "large": 123456789012345678901234567890, "a": {}}',
]
ODD_LINES = [
    *(
        b"",
        b"  ",
        b'{"a": 1, "a": 2}',
        b'{"a": 1}{"b": 2}',
        b'{"a": 1',
        b'"b": 2}',
        b"}",
        b"{",
        b"[1]",
        b"17",
    ),
    *(
        b'{"a": 1},',
        b'{"a": 1} {"b": 2}',
        b'{"a": "\xff"}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": [',
        b"{},",
    ),
    *(b'{"\\u0061": 1, "a": 1}', b'{"a": "\\u0022:", "a": "x"}', b'{"a": {"b": 1, "b": 2}, "c": "\\u0022"}'),
    *(b"[" * 3000, b'{"a": "' + b"x" * 900 + b'"}', b'{"a":', b"{}}", b'{"a": 1}\r', b"\x00"),
]


def csv_text(draw: random.Random) -> bytes:
    """Make rows of which few, many or none are odd, or have quotes."""
    names = draw.sample(list(FIELDS), draw.randint(1, len(FIELDS)))
    odd, newline = draw.choice([0, 0.002, 0.05, 0.5]), draw.choice([b"\n", b"\r\n"])
    plain = draw.random() < 0.5
    rows = [",".join(names).encode()]
    for _ in range(draw.randint(0, 200)):
        row = [draw.choice(FIELDS[name][:5] if plain else FIELDS[name]) for name in names]
        if draw.random() < odd:
            row[draw.randrange(len(row))] = draw.choice(ODD)
        if draw.random() < odd / 4:
            row += [b"more"]
        rows.append(b"" if draw.random() < odd / 4 else b",".join(row))
    if draw.random() < 0.2:
        rows[draw.randrange(len(rows))] += b"\r"
    return newline.join(rows) + draw.choice([b"", newline, newline * 2])


def jsonl_text(draw: random.Random) -> bytes:
    """Make lines of which few, many or none are odd."""
    odd, newline = draw.choice([0, 0.01, 0.1, 0.7]), draw.choice([b"\n", b"\r\n"])
    shapes = draw.sample(OBJECTS, draw.randint(1, len(OBJECTS)))
    lines = [
        draw.choice(ODD_LINES) if draw.random() < odd else draw.choice(shapes) % number
        for number in range(draw.randint(0, 200))
    ]
    return newline.join(lines) + draw.choice([b"", newline])


def read(source: Source, position: str, size: int) -> Iterator[tuple[Arrival, str, int]]:
    """Read a file; each arrival with its chunk's position, and the number of those behind it in the chunk."""
    for chunk in source.read("x", position, size):
        assert 0 < len(chunk) <= size
        whole = chunk.arrivals
        for number, arrival in enumerate(whole, 1):
            yield arrival, chunk.position, len(whole) - number


def options(kind: str, data: bytes, draw: random.Random) -> dict[str, Any]:
    limits = {
        "max_line": draw.choice(["60B", "500B", "1MiB"]),
        "chunk_bytes": draw.choice(["70B", "3KiB", "1MiB"]),
    }
    if kind == "jsonl":
        return limits
    names = data.partition(b"\n")[0].decode().strip().split(",")
    types = {name: TYPES[name] for name in names if name in TYPES}
    return limits | {"types": types, "na": draw.choice([[], ["NA"]]), "empty": draw.choice([None, "keep"])}


@pytest.mark.parametrize("seed", range(150))
@pytest.mark.parametrize(("kind", "text"), [("csv", csv_text), ("jsonl", jsonl_text)])
def test_lines_read_at_once_are_the_same_records_at_the_same_places(
    kind: str, text: Any, seed: int, write: Write, source: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    data = draw.choice([b"", b"", b"\xef\xbb\xbf"]) + text(draw)
    write("x", data)
    given = options(kind, data.removeprefix(b"\xef\xbb\xbf"), draw)
    size = draw.choice([1, 7, 40, 2000])
    made = source(kind, path="x", **given)

    found = list(read(made, "", size))

    with monkeypatch.context() as patch:
        patch.setattr(csv, "RowsAtOnce", lambda *_: nothing)
        patch.setattr(jsonl, "ObjectsAtOnce", lambda: nothing)
        careful = [arrival for arrival, _, _ in read(source(kind, path="x", **given), "", size)]
    assert [repr(arrival) for arrival, _, _ in found] == [repr(arrival) for arrival in careful]
    ends = [(place, position) for place, (_, position, behind) in enumerate(found, 1) if not behind]
    for place, position in draw.sample(ends, min(len(ends), 5)):
        later = [arrival for arrival, _, _ in read(source(kind, path="x", **given), position, 30)]
        assert later == careful[place:]


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        (b"1,x\n2,y\n", 2),
        (b"1,x\r\n2,y\n", 2),
        (b'1,"x,\ny"\n\n2,"y"\n', 4),
        (b'1,x\n2,"y\n', 1),
        (b"1,x\n2,\xff\n", 1),
        (b"1,x\n2\n3,y\n", 1),
        (b"1,x\n2,y,z\n3\n", 1),
        (b"1,x\nten,y\n3,z\n", 1),
        (b"ten,x\n2,y\n", 0),
    ],
)
def test_rows_are_read_at_once_up_to_the_first_that_asks_for_care(lines: bytes, count: int) -> None:
    rows = RowsAtOnce(Columns(["n", "s"], {"n": "int"}, [], keep_empty=False), Dialect())

    found = rows(lines)

    assert found.count == count
    assert found.size == len(b"\n".join(lines.split(b"\n")[:count])) + (count > 0)
    assert [record["n"] for record in found.records] == [1, 2, 3][: len(found.records)]


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        (b'{"a":1}\n{"a":2}\n', 2),
        (b'{"a": 1, "t": "10:00"}\r\n{"a": 2}\r\n', 2),
        (b'{"a":1}\n\n {"a":2} \n', 3),
        (b'{"a":1}\n{"a":2}{"a":3}\n{"a":\n4}\n', 1),
        (b'{"a":1}\n{"a":2,"a":3}\n', 1),
        (b'{"a":1}\n{"a":2\n}\n', 1),
        (b'{"a":1},\n{"a":2}\n', 0),
    ],
)
def test_objects_are_read_at_once_up_to_the_first_line_that_is_none(lines: bytes, count: int) -> None:
    found = objects_at_once(lines)

    assert found.count == count
    assert [record["a"] for record in found.records] == [1, 2][: len(found.records)]
    assert list(found.raws) == [line.strip() for line in lines.split(b"\n")[:count] if line.strip()]


@pytest.mark.parametrize(
    ("lines", "as_rows"),
    [
        (b'{"a":1,"b":"x y"}\n{"a":2,"b":[{"c":null}]}\n', True),
        (b'{"a": 1, "b": "x y"}\n{"a": 2, "b": "\xc3\xa9"}\n', True),
        (b'{"a":123456789012345678901234567890,"b":-1.5}\n', True),
        (b'{"a":1,"b":2}\n{"b":2,"a":1}\n', False),
        (b'{"a":1,"b":2}\n{"a":2}\n', False),
        (b'{"a":1}\n{"a":2,"b":3}\n', False),
        (b'{"a":1,"b":2}\n{"a":1,"b":2,"a":1}\n', False),
        (b'{"a":1,"b":{"c":1,"c":1}}\n', False),
        (b'{"x y":1,"xy":1}\n{"xy":1,"x y":1}\n', False),
        (b'{"a":1}\n{"a":\n2}\n', False),
        (b'{"a":1}\n{"a":2}{"a":3}\n', False),
        (b'{"a":1}\n\n{"a":2}\n', False),
        (b'{"a":1}\n\n', False),
        (b'{"a":1}\n[2]\n', False),
        (b'{"a":1.50}\n', False),
        (b'{"\\u0061":1}\n', False),
        (b'{"\\"":1}\n', False),
        (b"{}\n", False),
        (b"17\n", False),
    ],
)
def test_objects_are_read_as_rows_where_no_key_can_be_lost_or_moved(lines: bytes, *, as_rows: bool) -> None:
    found, plain = block.ObjectsAtOnce()(lines), objects_at_once(lines)

    assert isinstance(found.records, RowRecords) is as_rows
    assert repr([*found.records]) == repr([*plain.records])
    assert [*found.raws] == [*plain.raws]
    assert (found.size, found.count, [*found.lines]) == (plain.size, plain.count, [*plain.lines])


def test_where_lines_differ_rows_are_tried_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    monkeypatch.setattr(block, "rows_of", tried.append)
    at_once = block.ObjectsAtOnce()

    for _ in range(1_000):
        at_once(b'{"a":1}\n{"b":1}\n')

    assert 10 < len(tried) < 25


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_of_many_lines_only_those_near_a_broken_one_are_read_one_by_one(
    kind: str, write: Write, source: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [b"%d" % n if kind == "csv" else b'{"id": %d}' % n for n in range(20_000)]
    lines[9_000] = b"ten"
    write("x", b"\n".join([b"id" if kind == "csv" else b"", *lines, b""]))
    module: Any = csv if kind == "csv" else jsonl
    one_by_one = module._arrivals
    seen: list[Arrival] = []

    def told(*args: Any) -> Iterator[Arrival]:
        for arrival in one_by_one(*args):
            seen.append(arrival)
            yield arrival

    monkeypatch.setattr(module, "_arrivals", told)
    given = {"types": {"id": "int"}} if kind == "csv" else {}

    chunks = list(source(kind, path="x", **given).read("x", "", 2_000))

    assert [len(chunk) for chunk in chunks] == [2_000] * 10
    assert sum(arrival.data is None for arrival in seen) == 1
    assert len(seen) < 20


def test_column_of_many_different_numbers_is_read_as_one_of_few(write: Write, source: Connect) -> None:
    numbers = [*range(5_000), *[3, 3, 4] * 1_000, *range(20_000, 0, -1)]
    write("x", b"n,m\n" + b"".join(b"%d,%d\n" % (n, n % 100) for n in numbers) + b"1_0,1\n\n,\n")

    found = [one for one, _, _ in read(source("csv", path="x", types={"n": "int", "m": "int"}), "", 900)]

    assert [one.data for one in found[:-2]] == [{"n": n, "m": n % 100} for n in numbers]
    assert found[-2].error.endswith("'1_0' is not of type int (12, -3)")
    assert found[-1].data == {"n": None, "m": None}


def test_names_of_columns_may_be_anything(write: Write, source: Connect) -> None:
    names = ["v0", "'", "{x}", "\\", "a\nb", "é\u2028", "None"]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    write("x", f"{header}\n1,2,3,4,5,6,7\n".encode())

    [found] = [one for one, _, _ in read(source("csv", path="x"), "", 10)]

    assert found.data == dict(zip(names, "1234567", strict=True))
