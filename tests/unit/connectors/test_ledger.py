"""The ledger carries what was committed and not settled, however it comes again."""

from __future__ import annotations

import random

import pytest

from rsq_pipe.connectors.ledger.ledger import Ledger, LostPlaceError, Row, shard_name, shard_of


def test_a_batch_that_was_settled_is_not_carried() -> None:
    row = Row(1, 5, 4, "[]", '["a","b"]')

    assert list(Ledger(row, "5").unwritten(["a", "c"])) == [0, 1]


def test_a_batch_that_was_not_settled_is_not_written_again() -> None:
    row = Row(1, 5, 4, "[]", '["a","b"]')

    assert list(Ledger(row, "4").unwritten(["c", "a", "d", "b"])) == [0, 2]


def test_what_comes_again_in_parts_is_carried_until_the_last_part_is_settled() -> None:
    ledger = Ledger(Row(2, 5, 4, "[]", '["a","b","c"]'), "4")
    row = ledger.next(["b", "x"])
    ledger.committed(row)

    assert (row.seq, row.carried, row.rids) == (6, '["a","c"]', '["b","x"]')
    assert list(ledger.unwritten(["a", "y", "c"])) == [1]
    assert Ledger(row, "6").unwritten(["a", "b"]) == [1], "b was settled; where it comes again it is another"
    assert Ledger(row, "4").unwritten(["a", "b", "c", "x", "z"]) == [4]


def test_a_record_that_could_not_be_written_is_not_in_the_row() -> None:
    row = Ledger(Row(1, 0, 0), "0").next(["a", "b", "c"], failed={1: ValueError()})

    assert row.rids == '["a","c"]'


@pytest.mark.parametrize("position", ["7", None])
def test_a_row_that_does_not_fit_the_position_is_refused(position: str | None) -> None:
    with pytest.raises(LostPlaceError, match="at batch 5"):
        Ledger(Row(1, 5, 4), position)


def test_a_server_that_forgot_settlements_is_told_of() -> None:
    assert Ledger(Row(1, 5, 4), "3").went_back
    assert not Ledger(Row(1, 5, 4), "4").went_back


@pytest.mark.parametrize("seed", range(50))
def test_each_record_is_written_once_whatever_happens_between_commit_and_settlement(seed: int) -> None:
    draw = random.Random(seed)
    row, position, left, written = Row(1, 0, 0), "0", set(range(60)), list[int]()
    while left:
        ledger = Ledger(row, position)
        for _ in range(draw.randint(1, 4)):
            batch = draw.sample(sorted(left), min(len(left), draw.randint(1, 8)))
            rids = [str(number) for number in batch]
            places = ledger.unwritten(rids)
            new = ledger.next(rids)
            if draw.random() < 0.2:
                break  # killed before the commit
            written += [batch[place] for place in places]
            row = new
            if draw.random() < 0.4:
                break  # killed before the settlement
            ledger.committed(new)
            position, left = str(new.seq), left - set(batch)
            if not left:
                break

    assert sorted(written) == list(range(60))


def test_a_row_that_is_fenced_off_has_another_epoch_and_not_the_ids_that_were_taken_over() -> None:
    row = Row(3, 5, 4, '["a","b"]', '["c","d"]')

    assert row.fenced({"b", "c"}) == Row(4, 5, 4, '["a"]', '["d"]')


def test_the_ids_of_a_row_are_those_of_its_last_batch_too_unless_that_was_settled() -> None:
    row = Row(3, 5, 4, '["a"]', '["b"]')

    assert (row.ids("4"), row.ids("5"), row.ids()) == ({"a", "b"}, {"a"}, {"a", "b"})


@pytest.mark.parametrize("shard", [0, 1, 31])
def test_the_name_of_a_row_tells_whose_it_is_and_the_first_one_is_called_as_the_table(shard: int) -> None:
    assert shard_of(shard_name("sales.orders", shard)) == shard
    assert shard_name("sales.orders", 0) == "sales.orders"
