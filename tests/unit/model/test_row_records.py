"""Records as rows of values."""

from __future__ import annotations

import pytest

from rsq_pipe.model.pack import JsonPacks, MsgpackPacks
from rsq_pipe.model.row_records import RowRecords, joined

NAMES = ("n", "name")
DICTS = [{"n": 1, "name": "ada"}, {"n": 2, "name": None}, {"n": 3, "name": "bob"}]


def rows() -> RowRecords:
    return RowRecords(NAMES, [(1, "ada"), (2, None), (3, "bob")])


def test_row_records_are_the_records_they_would_be_as_dicts() -> None:
    assert len(rows()) == 3
    assert rows() == DICTS
    assert rows()[1] == DICTS[1]
    assert [*rows()] == DICTS
    assert rows()[1:] == DICTS[1:]


def test_a_record_that_was_changed_stays_changed_and_the_rows_count_no_more() -> None:
    records = rows()
    records[0]["n"] = 7

    assert records[0] == {"n": 7, "name": "ada"}
    assert records.rows is None
    assert records[:1] == [{"n": 7, "name": "ada"}]
    assert len(records) == 3


def test_a_part_of_them_stays_rows() -> None:
    part = rows()[:2]

    assert isinstance(part, RowRecords)
    assert part.rows == [(1, "ada"), (2, None)]


@pytest.mark.parametrize("packs", [JsonPacks(), MsgpackPacks()])
def test_a_pack_of_rows_is_that_of_the_same_dicts(packs: JsonPacks | MsgpackPacks) -> None:
    rids = ["a", "b", "c"]

    assert packs.encode(rows(), rids, {}) == packs.encode(DICTS, rids, {})
    changed = rows()
    changed[0]["extra"] = True
    assert packs.encode(changed, rids, {}) == packs.encode([*changed], rids, {})


@pytest.mark.parametrize("packs", [JsonPacks(), MsgpackPacks()])
def test_a_pack_is_read_as_rows_where_that_is_wished_and_its_records_have_the_same_fields(
    packs: JsonPacks | MsgpackPacks,
) -> None:
    rids = ["a", "b", "c"]
    read = packs.decode(packs.encode(DICTS, rids, {}), as_rows=True)
    others = packs.decode(packs.encode([{"n": 1}, *DICTS[1:]], rids, {}), as_rows=True)

    assert isinstance(read.records, RowRecords)
    assert read.records == DICTS
    assert others.records == [{"n": 1}, *DICTS[1:]]


def test_rows_and_records_of_the_same_fields_together_are_rows() -> None:
    whole = joined(joined(joined([], rows()), ({"n": 4, "name": "eve"},)), rows())

    assert isinstance(whole, RowRecords)
    assert whole.rows is not None
    assert whole == [*DICTS, {"n": 4, "name": "eve"}, *DICTS]


@pytest.mark.parametrize(
    "other",
    [{"name": "eve", "n": 4}, {"n": 4}, {"n": 4, "name": "eve", "age": 9}],
    ids=["order", "less", "more"],
)
def test_rows_and_a_record_of_other_fields_together_are_dicts(other: dict[str, object]) -> None:
    whole = joined(joined(rows(), (other,)), rows())

    assert whole == [*DICTS, other, *DICTS]
    assert [list(record) for record in whole][3] == list(other)


def test_rows_behind_dicts_are_dicts() -> None:
    assert joined([{"n": 0, "name": "zoe"}], rows()) == [{"n": 0, "name": "zoe"}, *DICTS]


def test_rows_behind_rows_that_somebody_has_asked_for_are_dicts() -> None:
    first = rows()
    first[0]["n"] = 7

    assert joined(first, rows()) == [{"n": 7, "name": "ada"}, *DICTS[1:], *DICTS]
