"""What pgoutput sends is taken apart, values are made of it, and what the rows have is not reported again."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest

from rsq_pipe.connectors.postgres.connection import Connection
from rsq_pipe.connectors.postgres_cdc.mark import Copy, Mark, Part, lsn_text
from rsq_pipe.connectors.postgres_cdc.messages import (
    UNCHANGED,
    Begin,
    Change,
    Commit,
    Relation,
    Row,
    Truncate,
    read,
)
from rsq_pipe.connectors.postgres_cdc.published import Table
from rsq_pipe.connectors.postgres_cdc.records import Records, When
from rsq_pipe.connectors.postgres_cdc.snapshot_filter import Seen, SnapshotFilter
from rsq_pipe.connectors.postgres_cdc.values import array_of, converter


def row(*values: bytes | str | None) -> bytes:
    parts = [pack("!H", len(values))]
    for value in values:
        if isinstance(value, str):  # its kind alone
            parts.append(value.encode())
        else:
            parts.append(b"n" if value is None else b"t" + pack("!I", len(value)) + value)
    return b"".join(parts)


def test_messages_are_taken_apart() -> None:
    table = pack("!I", 7)
    columns = b"\x01id\0" + pack("!Ii", 20, -1) + b"\x00v\0" + pack("!Ii", 25, -1)

    assert read(b"B" + pack("!QqI", 5, 1_500_000, 9)) == Begin(5, "2000-01-01T00:00:01.500000+00:00", 9)
    assert read(b"C" + pack("!BQQq", 0, 5, 6, 0)) == Commit(6)
    assert read(b"R" + table + b"public\0t\0d" + pack("!H", 2) + columns) == Relation(
        7, "public", "t", ("id", "v"), (20, 25), (True, False)
    )
    assert read(b"I" + table + b"N" + row(b"1", None)) == Change("insert", 7, [b"1", None])
    assert read(b"U" + table + b"N" + row(b"1", "u")) == Change("update", 7, [b"1", UNCHANGED])
    assert read(b"U" + table + b"K" + row(b"1", None) + b"N" + row(b"2", b"x")) == Change(
        "update", 7, [b"2", b"x"], [b"1", None], old_is_key=True
    )
    assert read(b"D" + table + b"O" + row(b"1", b"x")) == Change("delete", 7, None, [b"1", b"x"])
    assert read(b"T" + pack("!IBII", 2, 0, 7, 8)) == Truncate((7, 8))
    assert read(b"M\0") is None


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        (16, b"t", True),
        (16, b"f", False),
        (20, b"-9223372036854775808", -(2**63)),
        (1700, b"12.50", 12.5),
        (1700, b"NaN", "NaN"),
        (701, b"-Infinity", "-Infinity"),
        (701, b"1e+20", 1e20),
        (3802, b'{"a": [1]}', {"a": [1]}),
        (1184, b"2026-11-27 10:00:00+00", "2026-11-27T10:00:00+00:00"),
        (1184, b"infinity", "infinity"),
        (1114, b"2026-11-27 10:00:00.5", "2026-11-27T10:00:00.5"),
        (1007, b"{}", []),
        (1007, b"[0:1]={1,NULL}", [1, None]),
        (1007, b"{{1,2},{3,4}}", [[1, 2], [3, 4]]),
        (1009, rb'{a,"b,c","NULL","\"\\",""}', ["a", "b,c", "NULL", '"\\', ""]),
        (99_999, "ä".encode(), "ä"),
    ],
)
def test_values_are_those_that_row_to_json_writes(type: int, text: bytes, value: Any) -> None:  # noqa: A002
    assert converter(type)(text) == value


def test_an_array_that_is_none_is_an_error() -> None:
    for text in (b"{1,", b'{"a', b"1"):
        with pytest.raises(ValueError, match=r"array|subsection"):
            array_of(int)(text)


def test_a_snapshot_tells_transactions_by_32_bits_of_their_numbers() -> None:
    seen = Seen.read(f"{2**32 + 5}:{2**32 + 9}:{2**32 + 5},{2**32 + 7}")

    assert [xid for xid in range(12) if xid in seen] == [0, 1, 2, 3, 4, 6, 8]
    assert 2**32 - 1 in seen
    assert 3 in Seen.read("10:10:")


def test_positions_sort_as_their_texts_do() -> None:
    lsns = [0, 0x16B3748, 0xFFFFFFFF, 0x1_00000000, 0xA_00000001]

    assert sorted(map(lsn_text, lsns)) == list(map(lsn_text, lsns))
    assert lsn_text(0xA_016B3748) == "0000000A/016B3748"


def test_a_mark_is_stored_and_read_as_it_is() -> None:
    mark = Mark("77", 5, 6, 2, Copy([1, 2], ["a"]), [Part(1, "3:3:", 9, upto=["a"])])

    assert Mark.load(mark.dump()) == mark
    assert Mark.load("") is None


class Answers(Connection):
    """A connection that answers whether a key, which is a number here, belongs to the part before."""

    def execute(self, sql: str, values: Any = None) -> list[tuple[Any, ...]]:
        key, *upto = map(int, values)
        return [tuple(key <= one for one in upto)]


TABLE = Table(1, "public", "t", None, ["id", "v"], ["id"])
RECORDS = Records("public.t", ["id", "v"], [int, int], key=[True, False])
PARTS = [Part(1, "10:10:", 100, upto=["50"]), Part(1, "20:20:", 200, after=["50"])]


@pytest.fixture
def snapshots() -> SnapshotFilter:
    return SnapshotFilter(Answers("", 1), {1: TABLE}, PARTS)


def update(key: int, old: int | None = None) -> Change:
    was: Row | None = None if old is None else [b"%d" % old, None]
    return Change("update", 1, [b"%d" % key, b"1"], was, old_is_key=True)


def test_a_change_is_reported_unless_the_part_that_has_its_key_saw_it(snapshots: SnapshotFilter) -> None:
    snapshots.begin(Begin(90, "", 5))
    assert snapshots.left(update(7), RECORDS) is None
    # Behind all that the first part saw, and still among what the second saw.
    snapshots.begin(Begin(150, "", 15))
    assert snapshots.left(update(7), RECORDS) == update(7)
    assert snapshots.left(update(51), RECORDS) is None
    snapshots.begin(Begin(150, "", 25))
    assert snapshots.left(update(51), RECORDS) == update(51)
    snapshots.begin(Begin(200, "", 15))
    assert snapshots.left(update(51), RECORDS) == update(51)
    assert snapshots.parts == []


def test_a_row_that_went_from_one_part_to_another_is_reported_where_it_is_not_known(
    snapshots: SnapshotFilter,
) -> None:
    snapshots.begin(Begin(150, "", 15))

    assert snapshots.left(update(60, 7), RECORDS) == Change("delete", 1, None, [b"7", None], old_is_key=True)
    assert snapshots.left(update(7, 60), RECORDS) == Change("insert", 1, [b"7", b"1"], old_is_key=True)
    assert snapshots.left(update(8, 7), RECORDS) == update(8, 7)
    assert snapshots.left(update(61, 60), RECORDS) is None


def test_a_record_names_the_columns_that_were_not_sent() -> None:
    change = Change("update", 1, [b"1", UNCHANGED], [b"1", None], old_is_key=True)

    record = RECORDS.change(change, When("0/1", "t"), "0/1.2")

    assert record == {
        "id": 1,
        "op": "update",
        "table": "public.t",
        "change": "0/1.2",
        "lsn": "0/1",
        "commit_time": "t",
        "old": {"id": 1},
        "unchanged": ["v"],
    }
