"""The json source: lists that are a file or stand in one, in bounded memory, and what is broken in them."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from rsq_pipe.connectors.source import Arrival
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SourceError

Write = Callable[[str, bytes], Path]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[tuple[Arrival, str]]]:
    """Read a file; each arrival with the position of its chunk."""

    def read_file(name: str = "x.json", position: str = "", size: int = 100, **options: Any) -> Any:
        found = connector("source", "json")
        assert found.connect is not None
        source = found.connect(found.options(path=name, **options), stage="read", root=tmp_path)
        chunks = source.read(name, position, size)
        return [(arrival, chunk.position) for chunk in chunks for arrival in chunk.arrivals]

    return read_file


Read = Callable[..., list[tuple[Arrival, str]]]


def data(read: list[tuple[Arrival, str]]) -> list[Any]:
    return [arrival.data for arrival, _ in read]


def test_each_object_of_a_file_that_is_one_list_is_a_record(write: Write, read: Read) -> None:
    write("x.json", b'\xef\xbb\xbf [ {"id": 1, "t": "\xc3\xa9]"} ,\n{"id":2,"l":[{"id":3}]}\n]\n')

    first, second = read()

    assert first[0] == Arrival("x.json:1", {"id": 1, "t": "é]"}, b'{"id": 1, "t": "\xc3\xa9]"}')
    assert second[0].data == {"id": 2, "l": [{"id": 3}]}


def test_list_in_an_object_is_found_by_its_keys_whatever_stands_around_it(write: Write, read: Read) -> None:
    write(
        "x.json",
        b'{"a": ["items", {"items": "]"}], "n": 1, "data": {"x\\n": null, "items": [{"id": 1}, {"id": 2}],'
        b' "z": 3}, "more": {"items": [4]}}',
    )

    assert data(read(records="data.items")) == [{"id": 1}, {"id": 2}]
    assert data(read(records=["data", "items"])) == [{"id": 1}, {"id": 2}]


def test_key_with_a_dot_is_one_of_a_list(write: Write, read: Read) -> None:
    write("x.json", b'{"a.b": [{"id": 1}]}')

    assert data(read(records=["a.b"])) == [{"id": 1}]


def test_packed_file_is_read(write: Write, read: Read) -> None:
    write("x.json.gz", b'[{"id": 1}]')

    assert data(read("x.json.gz")) == [{"id": 1}]


@pytest.mark.parametrize("text", [b"", b" \n"])
def test_empty_file_is_a_warning_and_an_empty_list_is_nothing(text: bytes, write: Write, read: Read) -> None:
    write("x.json", text)
    write("y.json", b"[]")

    with capture_logs() as logs:
        assert read() == read("y.json") == []

    assert [log["event"] for log in logs] == ["the file is empty: there is no record in it"]


def test_broken_record_leaves_its_neighbours_alone_and_keeps_its_bytes(write: Write, read: Read) -> None:
    broken = [
        b'{"id": }',
        b'{"id": 1, "id": 2}',
        b'{"id": NaN}',
        b"7",
        b"nul",
        b'{"id": "\xff"}',
        b'{"a" "b"}',
        b'{"half": "\\ud800"}',
    ]
    write("x.json", b'[{"ok": 1},' + b',{"ok": 1},'.join(broken) + b',{"ok": 1}]')

    arrivals = [arrival for arrival, _ in read()]

    assert [arrival.raw for arrival in arrivals if arrival.data is None] == broken
    assert [arrival.offset for arrival in arrivals] == [f"x.json:{n}" for n in range(1, 18)]
    assert data(read())[::2] == [{"ok": 1}] * 9
    assert arrivals[1].error.startswith("x.json: record 2: it is not JSON")
    assert arrivals[15].error.endswith("it is not JSON: it holds half a surrogate pair, which is not text")


@pytest.mark.parametrize("size", [250, 300_000])
def test_record_that_is_too_long_is_passed_over_in_bounded_memory(
    size: int, write: Write, read: Read
) -> None:
    long = b'{"l": ["%s", "\\"]"]}' % (b"x" * size)
    write("x.json", b'[{"id": 1},' + long + b',{"id": 2}]')

    first, broken, last = (arrival for arrival, _ in read(max_record="200B"))

    assert (first.data, last.data) == ({"id": 1}, {"id": 2})
    assert "longer than max_record" in broken.error
    assert long.startswith(broken.raw)


@pytest.mark.parametrize(
    ("text", "records", "why"),
    [
        (b'{"id": 1}', "", "the file is not a list of records; name the list in it: `records: path.to.list`"),
        (b'{"id": 1}\n{"id": 2}', "", "read a file of lines as `jsonl`"),
        (b'{"data": {"itms": []}}', "data.items", "there is no key 'items'; did you mean 'itms'?"),
        (b'{"data": []}', "data.items", "`data` is not an object, so there is no `data.items` in it"),
        (b'{"data": {"id": 1}}', "data", "`data` is not a list"),
        (b"[]", "data", "the file is not an object"),
        (b"x", "", "it is not JSON"),
        (b'[{"id": 1}', "", "past record 1: it ends in the middle"),
        (b'[{"id": 1},', "", "past record 1: it ends in the middle"),
        (b'[{"id": 1},{"id', "", "past record 1: it ends in the middle"),
        (b'[{"id": 1}{"id": 2}]', "", "past record 1: at byte 10 there is no comma"),
        (b'[{"id": 1}][]', "", "past record 1: at byte 11 something follows the end of its list"),
        (b'{"a": [{"id": 1}]', "a", "past record 1: it ends in the middle"),
        (b'{"a": [{"id": 1}], "b": "', "a", "past record 1: it ends in the middle"),
    ],
)
def test_file_that_is_not_what_it_should_be_is_an_error_behind_what_could_be_read(
    text: bytes, records: str, why: str, write: Write, tmp_path: Path
) -> None:
    write("x.json", text)
    found = connector("source", "json")
    assert found.connect is not None
    options = {"records": records} if records else {}
    source = found.connect(found.options(path="x.json", **options), stage="read", root=tmp_path)
    arrived: list[Any] = []

    with pytest.raises(SourceError) as raised:
        arrived.extend(record for chunk in source.read("x.json", "", 10) for record in chunk.records)

    assert why in str(raised.value)
    assert str(raised.value).startswith("file x.json cannot be read")
    assert arrived == ([{"id": 1}] if "past record 1" in why else [])


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_another_process_goes_on_from_every_position(
    indent: int | None, size: int, write: Write, read: Read
) -> None:
    chance = random.Random(7)
    records: list[Any] = [
        {"id": n, "l": [{"id": m, "t": '"]},{\\' * chance.randrange(3)} for m in range(chance.randrange(4))]}
        for n in range(60)
    ]
    records[17] = ["no object"]
    write("x.json", json.dumps({"a": {"b": records}}, indent=indent).encode())

    whole = read(size=size, records="a.b")
    arrivals = [arrival for arrival, _ in whole]

    assert [arrival.data for arrival in arrivals] == [r if isinstance(r, dict) else None for r in records]
    for index, (_, position) in enumerate(whole):
        if index + 1 < len(whole) and whole[index + 1][1] == position:
            continue  # inside a chunk
        assert [later for later, _ in read(position=position, records="a.b")] == arrivals[index + 1 :]


def test_list_that_has_grown_is_read_on(write: Write, read: Read) -> None:
    write("x.json", b'[{"id": 1}]')
    [(_, position)] = read()
    write("x.json", b'[{"id": 1}, {"id": 2}]')

    assert data(read(position=position)) == [{"id": 2}]


def test_another_file_under_the_name_is_refused(write: Write, read: Read) -> None:
    write("x.json", b'[{"id": 1}]')
    [(_, position)] = read()
    write("x.json", b'[{"id": 7}, {"id": 2}]')

    with pytest.raises(SourceError, match="is not the file that was read up to record 1"):
        read(position=position)


def test_memory_is_bounded_however_long_the_file(tmp_path: Path) -> None:
    record = b'{"id": 1, "lines": [{"id": 2, "text": "%s"}]}' % (b"x" * 10_000)
    with (tmp_path / "x.json").open("wb") as file:
        file.write(b'{"meta": [' + b",".join([record] * 500) + b'], "items": [')
        file.write(b",\n".join([record] * 800) + b"]}")
    found = connector("source", "json")
    assert found.connect is not None
    source = found.connect(found.options(path="x.json", records="items"), stage="read", root=tmp_path)

    tracemalloc.start()
    total = sum(len(chunk) for chunk in source.read("x.json", "", 50))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert total == 800
    assert peak < 4 * 1024 * 1024


def test_standard_input_is_refused() -> None:
    with pytest.raises(ValidationError, match="standard input"):
        connector("source", "json").options(path="-")
