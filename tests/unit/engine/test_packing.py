"""The entries that records are written in: packs between stages, one record an entry where others read."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.engine.packing import (
    COMPRESSED_FROM,
    MAX_RECORD,
    PACK_BYTES,
    PACK_RECORDS,
    Port,
    Written,
    within,
)
from rsq_pipe.model.outcome import Emitted, chosen
from rsq_pipe.model.pack import JsonPacks
from rsq_pipe.streams.entry import PACK
from rsq_pipe.streams.settlement import spelled_out
from tests.unit.engine.given import JSON, PACKS, records, singles

PORT = Port("{orders}:price", JSON, PACKS)


def emitted(*columns: Any, headers: dict[int, dict[str, str]] | None = None) -> Emitted:
    count = len(columns)
    return Emitted(list(columns), [f"read:{n}" for n in range(count)], range(count), headers or {})


def numbered(count: int) -> Emitted:
    return emitted(*({"n": n} for n in range(count)))


def sizes(written: Written) -> list[int]:
    """How many records each entry says it holds."""
    return [int(out.fields[1]) if out.fields[0] == PACK.decode() else 1 for out in written.outputs]


def test_nothing_is_written_of_nothing() -> None:
    assert PORT.write(Emitted()) == Written([], 0, {}, key=PORT.key)


def test_a_record_alone_is_a_plain_entry() -> None:
    written = PORT.write(emitted({"n": 1}, headers={0: {"traceparent": "00-a-b-01"}}))

    ((key, fields),) = written.outputs
    assert key == "{orders}:price"
    assert fields == ["data", b'{"n":1}', "rsq-rid", "read:0", "traceparent", "00-a-b-01"]
    assert (written.size, written.bad) == (7, {})


def test_several_are_a_pack_that_says_first_how_many() -> None:
    written = PORT.write(numbered(3))

    ((key, fields),) = written.outputs
    assert (key, fields[:3]) == ("{orders}:price", ["rsq-pack", "3", "data"])
    assert len(fields) == 4
    assert written.size == len(fields[3])
    assert PACKS.decode(fields[3]) == (  # type: ignore[arg-type]
        *([{"n": 0}, {"n": 1}, {"n": 2}], ["read:0", "read:1", "read:2"]),
        {},
    )


@pytest.mark.parametrize(
    ("count", "expected"),
    [(499, [499]), (500, [500]), (501, [500, 1]), (1002, [500, 500, 2])],
)
def test_a_pack_holds_no_more_records_than_the_bound(count: int, expected: list[int]) -> None:
    assert PACK_RECORDS == 500
    assert sizes(PORT.write(numbered(count))) == expected


def test_a_port_whose_reader_takes_few_at_once_has_small_packs() -> None:
    few = Port("{orders}:price", JSON, PACKS, most=3)

    assert sizes(few.write(numbered(8))) == [3, 3, 2]
    assert sizes(Port("{orders}:price", JSON, PACKS, most=1).write(numbered(3))) == [1, 1, 1]


def test_a_pack_is_within_its_bound_of_bytes_and_its_records_stay_in_order() -> None:
    text = "x" * (PACK_BYTES // 10)

    written = PORT.write(emitted(*({"n": n, "text": text} for n in range(100))))

    assert sum(sizes(written)) == 100
    assert len(written.outputs) < 100 // 4
    assert all(len(out.fields[-1]) <= PACK_BYTES for out in written.outputs)
    assert [record["n"] for _, record, _ in records(written.outputs)] == list(range(100))
    assert written.size == sum(len(out.fields[3]) for out in written.outputs)


class Tried(JsonPacks):
    """Note how many records were to be encoded together."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def encode(self, records: Any, *args: Any, **settings: Any) -> bytes:
        self.counts.append(len(records))
        return super().encode(records, *args, **settings)


def large(count: int) -> Emitted:
    """Records of which twenty fill a pack."""
    return emitted(*({"n": n, "text": "x" * (PACK_BYTES // 20 - 40)} for n in range(count)))


def test_large_records_are_soon_encoded_only_once() -> None:
    port = Port("{orders}:price", JSON, packs := Tried())
    for _ in range(6):
        port.write(large(PACK_RECORDS))
    packs.counts.clear()

    written = port.write(large(PACK_RECORDS))

    assert packs.counts == sizes(written)
    assert min(packs.counts[:-1]) > 20 // 2


def test_after_large_records_packs_are_soon_full_again() -> None:
    port = Port("{orders}:price", JSON, PACKS)
    for _ in range(6):
        port.write(large(PACK_RECORDS))

    port.write(numbered(PACK_RECORDS))

    assert sizes(port.write(numbered(PACK_RECORDS))) == [PACK_RECORDS]


def test_one_large_record_among_many_does_not_make_the_next_packs_small() -> None:
    port = Port("{orders}:price", JSON, PACKS)
    port.write(emitted({"text": "x" * PACK_BYTES}, *({"n": n} for n in range(PACK_RECORDS - 1))))

    assert sizes(port.write(numbered(PACK_RECORDS))) == [PACK_RECORDS]


def test_a_record_larger_than_a_pack_stands_alone_and_its_neighbours_are_packed() -> None:
    several = [{"n": n} for n in range(8)]
    several[2]["text"] = "x" * PACK_BYTES  # type: ignore[assignment]

    written = PORT.write(emitted(*several))

    assert written.bad == {}
    assert [record["n"] for _, record, _ in records(written.outputs)] == list(range(8))
    assert sizes(written) == [2, 1, 1, 4]


@pytest.mark.parametrize("place", [0, 1, 249, 250, 498, 499])
def test_the_one_record_of_many_that_cannot_be_encoded_is_named_and_the_others_are_written(
    place: int,
) -> None:
    many = numbered(500)
    many.records[place] = {"n": place, "bad": object()}

    written = PORT.write(many)

    assert list(written.bad) == [place]
    assert "object" in str(written.bad[place])
    assert [given["rsq-rid"] for _, _, given in records(written.outputs)] == [
        f"read:{n}" for n in range(500) if n != place
    ]


def test_several_bad_ones_are_all_named() -> None:
    many = numbered(20)
    for place in (3, 4, 17):
        many.records[place] = {"n": float("nan")}

    written = PORT.write(many)

    assert sorted(written.bad) == [3, 4, 17]
    assert "$.n is not a finite number" in str(written.bad[17])
    assert len(singles(written.outputs)) == 17


@pytest.mark.parametrize("count", [1, 3])
def test_a_record_larger_than_any_entry_may_be_is_refused_in_words(count: int) -> None:
    many = numbered(count)
    many.records[-1] = {"text": "x" * MAX_RECORD}

    written = PORT.write(many)

    (error,) = written.bad.values()
    assert str(error) == (
        "the record has 16,777,227 bytes when it is encoded; `max_record` of the pipeline allows 16,777,216: "
        "drop fields above, or raise it"
    )
    assert list(written.bad) == [count - 1]
    assert len(singles(written.outputs)) == count - 1


def test_a_bound_below_that_of_a_pack_holds_for_each_record_whatever_is_beside_it() -> None:
    port = Port(PORT.key, JSON, PACKS, max_record=100)
    many = emitted({"text": "a"}, {"text": "x" * 100}, {"text": "b" * 89})

    written = port.write(many)
    assert list(written.bad) == [1]
    assert str(written.bad[1]).startswith("the record has 111 bytes when it is encoded; `max_record`")

    rest = port.write(chosen(many, [0, 2]))
    assert (sizes(rest), rest.bad) == ([2], {}), "what is small is packed"


def test_a_record_of_exactly_the_bound_is_written() -> None:
    written = PORT.write(emitted({"text": "x" * (MAX_RECORD - len('{"text":""}'))}))

    assert (written.size, written.bad) == (MAX_RECORD, {})


def test_headers_stay_with_their_records_however_they_are_divided() -> None:
    many = numbered(1_200)
    few = {0: {"a": "0"}, 499: {"a": "499"}, 500: {"a": "500"}, 777: {"a": "777"}, 1_199: {"a": "1199"}}
    many.headers = few
    many.records[600]["text"] = "x" * PACK_BYTES

    found = records(PORT.write(many).outputs)

    assert {
        place: {name: text for name, text in given.items() if name != "rsq-rid"}
        for place, (_, _, given) in enumerate(found)
        if len(given) > 1
    } == few


def test_on_a_stream_that_others_read_each_record_is_an_entry() -> None:
    written = Port("orders-out", JSON).write(numbered(3))

    found = spelled_out(written.outputs, written.rows)
    assert [out.fields[0] for out in found] == ["data"] * 3
    assert [out.fields[3] for out in found] == ["read:0", "read:1", "read:2"]
    assert written.size == 3 * len('{"n":0}')


def test_on_such_a_stream_too_the_bad_one_is_named() -> None:
    written = Port("orders-out", JSON).write(emitted({"n": 1}, {"n": object()}, {"n": 3}))

    assert (list(written.bad), len(written.outputs)) == ([1], 2)


def test_some_of_what_is_emitted_keep_their_ids_sources_and_headers() -> None:
    many = emitted({"n": 0}, {"n": 1}, {"n": 2}, headers={0: {"a": "0"}, 2: {"a": "2"}})

    assert chosen(many, [1, 2]) == Emitted(
        [{"n": 1}, {"n": 2}], ["read:1", "read:2"], [1, 2], {1: {"a": "2"}}
    )
    assert chosen(many, []) == Emitted([], [], [], {})
    assert within(many.headers, 1, 3) == {1: {"a": "2"}}


def test_in_a_crowded_stream_large_packs_are_compressed_and_small_ones_stand_as_they_are() -> None:
    crowded = Port("{orders}:price", JSON, PACKS, small=True)

    (large,) = crowded.write(numbered(COMPRESSED_FROM)).outputs
    (few,) = crowded.write(numbered(COMPRESSED_FROM - 1)).outputs

    assert few.fields == PORT.write(numbered(COMPRESSED_FROM - 1)).outputs[0].fields
    (plain,) = PORT.write(numbered(COMPRESSED_FROM)).outputs
    small, whole = large.fields[3], plain.fields[3]
    assert isinstance(small, bytes)
    assert isinstance(whole, bytes)
    assert large.fields[:3] == plain.fields[:3]
    assert len(small) < len(whole) / 2
    assert PACKS.decode(small) == PACKS.decode(whole)


def test_for_a_reader_that_writes_lines_records_are_written_with_their_names() -> None:
    port = Port("{orders}:price", JSON, PACKS, whole=True)

    ((_, fields),) = port.write(numbered(2)).outputs

    assert fields[3] == b'[null,[{"n":0},{"n":1}],"read:",["0","1"],{}]\n'


def test_in_a_crowded_stream_they_are_not() -> None:
    port = Port("{orders}:price", JSON, PACKS, whole=True, small=True)

    assert port.write(numbered(2)).outputs == PORT.write(numbered(2)).outputs


def test_where_records_hold_objects_that_is_tried_again_after_twice_as_many_batches_each_time() -> None:
    tried: list[int] = []

    class Counting(JsonPacks):
        def encode(self, *args: Any, **settings: Any) -> bytes:
            if settings["whole"]:
                tried.append(batch)
            return super().encode(*args, **settings)

    port = Port("{orders}:price", JSON, Counting(), whole=True)

    for batch in range(20):  # noqa: B007  Counting reads it
        port.write(emitted({"n": {}}, {"n": {}}))

    assert tried == [0, 2, 5, 10, 19]


def test_after_a_batch_with_an_object_others_are_soon_written_with_their_names_again() -> None:
    port = Port("{orders}:price", JSON, PACKS, whole=True)
    port.write(emitted({"n": {}}, {"n": {}}))

    first, second, third = (port.write(numbered(2)).outputs for _ in range(3))

    assert first == PORT.write(numbered(2)).outputs
    assert second == third != first


def test_a_number_that_is_none_is_refused_for_such_a_reader_too() -> None:
    port = Port("{orders}:price", JSON, PACKS, whole=True)

    assert list(port.write(emitted({"n": 1}, {"n": float("nan")}, {"n": 3})).bad) == [1]
