"""How many entries are asked for, so that about as many records come as a batch may hold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rsq_pipe.streams.batch_reader import MAX_BYTES, NOTHING, QUICK, ReadSize
from rsq_pipe.streams.entry import Arrived, RawEntry, first_of, records_in
from rsq_pipe.streams.settlement import MAX_ENTRIES


def entries(*sizes: int, data: bytes = b"") -> list[RawEntry]:
    """Entries that hold so many records each."""
    return [
        RawEntry("s", f"{n}-0", [b"rsq-pack", b"%d" % size, b"data", data] if size > 1 else [b"data", data])
        for n, size in enumerate(sizes)
    ]


def arrived(read: Sequence[RawEntry]) -> Arrived:
    """What a read has brought that brought these entries."""
    total = sum(len(value) for entry in read for value in entry.fields[1::2])
    return Arrived([*read], records_in(read), total)


def learnt(size: ReadSize, *reads: Sequence[RawEntry]) -> int:
    for read in reads:
        size.learn(arrived(read))
    return size.entries


def test_where_each_entry_holds_one_record_a_whole_batch_is_asked_for_whatever_came() -> None:
    assert learnt(ReadSize(2_000), entries(*[500] * 4)) == 2_000


@pytest.mark.parametrize(("records", "expected"), [(500, 1), (499, 1), (1_000, 2), (5_000, 10), (1, 1)])
def test_the_first_read_expects_full_packs(records: int, expected: int) -> None:
    assert ReadSize(records, 500).entries == expected


def test_the_first_read_of_single_entries_is_careful_since_they_may_be_large() -> None:
    assert ReadSize(500, 1).entries == 4


def test_as_many_are_asked_for_as_hold_a_batch() -> None:
    assert learnt(ReadSize(500, 1), entries(1, 1, 1)) == 16  # small ones are believed little by little
    assert learnt(ReadSize(500, 1), *[entries(1)] * 10) == 500
    assert learnt(ReadSize(500, 500), *[entries(10, 10)] * 10) == 50


def test_much_is_believed_at_once_and_little_only_little_by_little() -> None:
    size = ReadSize(500, 1)
    for _ in range(10):
        size.learn(arrived(entries(1)))

    assert learnt(size, entries(100, 100)) == 5
    assert [learnt(size, entries(1)) for _ in range(5)] == [20, 80, 320, 500, 500]


def test_no_more_bytes_are_asked_for_than_one_read_may_bring() -> None:
    large = entries(1, data=b"x" * (MAX_BYTES // 4))

    assert learnt(ReadSize(500, 1), large) == 4
    assert learnt(ReadSize(500, 1), entries(1, data=b"x" * 2 * MAX_BYTES)) == 1


def test_no_more_entries_are_asked_for_than_one_settlement_may_hold() -> None:
    assert learnt(ReadSize(50_000, 1), *[entries(1)] * 20) == MAX_ENTRIES


def test_a_read_that_brings_nothing_teaches_nothing() -> None:
    assert learnt(ReadSize(1_000, 500), [], []) == 2


def test_records_are_counted_as_the_entries_say() -> None:
    assert records_in(entries(3, 1, 500)) == 504
    assert records_in([]) == 0


@pytest.mark.parametrize(
    ("sizes", "records", "expected"),
    [
        ((1, 1, 1), 2, 2),
        ((1, 1, 1), 3, 3),
        ((1, 1, 1), 9, 3),
        ((500, 1), 500, 1),
        ((500, 1), 200, 1),
        ((1, 500), 500, 1),
        ((2, 2, 2), 5, 2),
        ((), 5, 0),
    ],
)
def test_the_first_entries_that_hold_no_more_records_and_one_at_least(
    sizes: tuple[int, ...], records: int, expected: int
) -> None:
    assert first_of(entries(*sizes), records) == expected


def test_the_first_entries_are_no_more_than_one_settlement_may_hold() -> None:
    assert first_of(entries(*[1] * (MAX_ENTRIES + 5)), 100_000) == MAX_ENTRIES
    assert first_of(entries(*[1] * (MAX_ENTRIES + 5)), MAX_ENTRIES + 2) == MAX_ENTRIES


def test_more_packs_are_asked_for_while_so_many_records_are_handled_quickly() -> None:
    size = ReadSize(500, 500, quickly=2_000)

    def after(records: int, seconds: float) -> tuple[int, int]:
        size.handling_records, size.handling_seconds = records, seconds
        size.learn(NOTHING)
        return size.records, size.entries

    assert after(500, QUICK / 5) == (2_000, 4)
    assert after(2_000, QUICK / 2) == (2_000, 4)
    assert after(2_000, QUICK) == (500, 1)
    assert after(500, QUICK / 3) == (500, 1)
    assert after(1, 0.0001) == (500, 1)  # one alone says nothing of many
