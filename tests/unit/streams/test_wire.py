"""A settlement's wire form names each key once and refuses what the script could not tell apart."""

from __future__ import annotations

import pytest

from rsq_pipe.streams import wire
from rsq_pipe.streams.script import INGEST, PROMOTE, PUSH, SETTLE, Script
from rsq_pipe.streams.settlement import (
    MAX_ENTRIES,
    Counters,
    Entry,
    Output,
    Part,
    Position,
    RetryAt,
    Rows,
    Settlement,
)


def part(number: int, *, stream: str = "in") -> Part:
    return Part((Entry(stream, f"{number}-0", 1),), [Output("out", ["data", b"{}"])])


def test_keys_are_declared_once_and_named_by_place() -> None:
    script, keys, args = wire.pack(Settlement([part(1), part(2)], counters=Counters("meta", "s.")), "g", "c")

    assert script is SETTLE
    assert keys == ["in", "out", "meta"]
    assert args[:5] == ["g", "c", 0, 3, "s."]


@pytest.mark.parametrize("fields", [[], ["data"], ["data", b"{}", "rid"]])
def test_an_output_that_is_not_names_and_values_is_refused(fields: list[str | bytes]) -> None:
    with pytest.raises(ValueError, match="pairs"):
        wire.pack(Settlement([Part(outputs=[Output("out", fields)])]), "g", "c")


@pytest.mark.parametrize(("names", "values"), [((), ()), (("data", "rid"), (b"{}",)), (("n",) * 2_000, ())])
def test_rows_that_lack_a_value_or_name_too_many_are_refused(
    names: tuple[str, ...], values: tuple[str | bytes, ...]
) -> None:
    with pytest.raises(ValueError, match="names have"):
        wire.pack(Settlement([Part(rows=[Rows("out", names, values)])]), "g", "c")


def test_rows_alone_may_not_write_to_a_full_server() -> None:
    added = Settlement([Part(rows=[Rows("out", ("data",), (b"{}",))])], Position("meta", "f", "", "1"))

    assert wire.pack(added, "", "")[0] is INGEST


def test_what_only_adds_may_not_write_to_a_full_server() -> None:
    added = Settlement([Part(outputs=[Output("out", ["data", b"{}"])])], Position("meta", "f", "", "1"))

    assert wire.pack(added, "", "")[0] is INGEST
    assert wire.pack(Settlement([part(1)]), "g", "c")[0] is SETTLE
    assert "allow-oom" in SETTLE.source.splitlines()[0]
    assert INGEST.source.splitlines()[0] == "#!lua"


@pytest.mark.parametrize(
    ("settlement", "words"),
    [
        (Settlement([part(1), part(1)]), "appears twice"),
        (Settlement([part(n) for n in range(MAX_ENTRIES + 1)]), "the bound is 1000"),
        (Settlement([part(1)], counters=Counters("out", "")), "a hash and a stream"),
        (
            Settlement([Part(outputs=[Output("out", ["data", b""])])], Position("meta", "f", "7", "7")),
            "does not move",
        ),
    ],
)
def test_what_cannot_be_settled_safely_is_refused(settlement: Settlement, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wire.pack(settlement, "g", "c")


def test_the_same_id_in_two_streams_is_two_entries() -> None:
    wire.pack(Settlement([part(1), part(1, stream="again")]), "g", "c")


def test_a_reply_without_parts_committed_all() -> None:
    settlement = Settlement([part(1), part(2)])

    assert wire.unpack([1, [], [], []], settlement).committed == settlement.parts


def test_a_reply_names_the_parts_that_were_fenced() -> None:
    settlement = Settlement([part(1), part(2), part(3)])

    settled = wire.unpack([1, [0, 2], [b"in", b"1-0", b"in", b"3-0"], []], settlement)

    assert settled.committed == [settlement.parts[1]]
    assert settled.fenced == [settlement.parts[0], settlement.parts[2]]
    assert settled.gone == {("in", "1-0"), ("in", "3-0")}


def test_what_is_counted_stands_for_all_parts_and_comes_back_with_its_new_values() -> None:
    settlement = Settlement([part(1), part(2)], counts={"meta": {"s:in": 2, "appended:x": 500}})

    settled = wire.unpack([1, [], [], [7, 900]], settlement)
    fenced = wire.unpack([1, [1], [b"in", b"2-0"], []], settlement)

    assert settled.totals == {"s:in": 7, "appended:x": 900}
    assert (fenced.committed, fenced.fenced) == ((), settlement.parts)


def test_with_a_position_one_fenced_part_fences_all() -> None:
    settlement = Settlement([part(1), part(2)], Position("meta", "f", "1", "2"))

    settled = wire.unpack([1, [0], [b"in", b"1-0"], []], settlement)

    assert (settled.committed, settled.fenced) == ((), settlement.parts)


def test_a_position_that_is_already_the_new_one_was_written_before() -> None:
    settlement = Settlement([part(1)], Position("meta", "f", "1", "2"))

    assert wire.unpack([0, b"2"], settlement).committed == settlement.parts
    assert wire.unpack([0, b"9"], settlement).refused == "9"


def test_two_equal_records_are_two_retries() -> None:
    members = {RetryAt("r", 1, ["data", b"{}"], origin).member for origin in ("in/1-0", "in/2-0")}

    assert len(members) == 2


def test_scripts_include_what_they_share_and_have_the_hash_of_all_of_it() -> None:
    assert "local function floor" in PUSH.source
    assert "--#include" not in PUSH.source
    assert Script("push").sha == PUSH.sha != PROMOTE.sha
