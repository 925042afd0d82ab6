"""What a batch became is settled at once, or in portions within the bounds of one settlement."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.planner import MAX_BYTES, MAX_RECORDS
from rsq_pipe.model.outcome import Failure, Outcome
from rsq_pipe.streams.settlement import Output
from tests.unit.engine.given import entry, handled, pack, portions_of, settled
from tests.unit.engine.stages import stage

FAILURE = Failure(ValueError("x"))
FINAL = Failure(ValueError("x"), retryable=False)


async def test_a_batch_is_settled_at_once_unless_it_became_too_much() -> None:
    planner, work = await handled(stage(), [entry(n) for n in range(10)], [[{}] * 1_000] * 10)

    assert portions_of(planner, work) == [frozenset(range(10))]


@pytest.mark.parametrize("children", [[1_001] * 10, [9_000, 9_000, 1, 1], [1, 9_999, 1, 9_999, 9_999, 5_000]])
async def test_what_became_more_records_is_settled_in_portions_within_the_bound(children: list[int]) -> None:
    planner, work = await handled(
        stage(), [entry(n) for n in range(len(children))], [[{}] * count for count in children]
    )

    portions = portions_of(planner, work)

    assert sorted(place for portion in portions for place in portion) == list(range(len(children)))
    assert all(sum(children[place] for place in portion) <= MAX_RECORDS for portion in portions)
    assert len(portions) <= 2 * -(-sum(children) // MAX_RECORDS)


async def test_an_entry_that_became_more_than_the_bound_is_settled_alone_and_whole() -> None:
    planner, work = await handled(
        stage(), [pack(1, [1, 2]), entry(3), entry(4)], [[{}] * 9_000, [{}] * 9_000, {}, {}]
    )

    assert portions_of(planner, work) == [frozenset((0,)), frozenset((1, 2))]


async def test_what_became_more_bytes_is_settled_in_portions_within_the_bound() -> None:
    text = "x" * (MAX_BYTES // 5)
    planner, work = await handled(stage(), [entry(n) for n in range(12)], [{"text": text}] * 12)

    portions = portions_of(planner, work)

    assert [len(portion) for portion in portions] == [4, 4, 4]


@pytest.mark.parametrize("outcome", [FAILURE, FINAL])
async def test_records_that_fail_are_written_too(outcome: Outcome) -> None:
    came = [pack(n, range(500)) for n in range(30)]
    planner, work = await handled(stage(batch_size=15_000), came, [outcome] * 15_000)

    assert [len(portion) for portion in portions_of(planner, work)] == [20, 10]


async def test_unknown_keys_are_counted_with_the_portion_their_record_is_in() -> None:
    came = [pack(n * 10, range(n * 10, n * 10 + 5)) for n in range(3)]
    planner, work = await handled(stage(), came, [{"n": 1}] * 15)
    work.steps[0].outcomes.unknown = {"a": [0, 4, 5], "b": [14]}

    plans = [planner.plan(work, frozenset(places)) for places in ((0,), (1,), (2,), (0, 1, 2))]

    found = [plan.settlement.drops.get("{orders}:price:unknown") for plan in plans]
    assert found == [{"a": 2}, {"a": 1}, {"b": 1}, {"a": 3, "b": 1}]


async def test_packs_that_came_back_are_split_in_portions() -> None:
    came = [pack(n, range(500), deliveries=2) for n in range(30)]
    planner, work = await handled(stage(), came, [])

    assert [len(portion) for portion in portions_of(planner, work)] == [20, 10]


async def test_the_portions_together_settle_what_the_batch_became() -> None:
    came = [pack(n * 10, range(n * 10, n * 10 + 5)) for n in range(8)]
    outcomes: list[Outcome] = [[{"n": 1}] * 700, {"n": 2}, None, FAILURE, FINAL] * 8
    planner, work = await handled(stage(), came, outcomes)
    work.steps[0].written[""].size = 10 * MAX_BYTES  # as if its records were large

    portions = portions_of(planner, work)

    assert len(portions) > 1
    assert settled([planner.plan(work, one) for one in portions]) == settled(
        [planner.plan(work, work.portion)]
    )


@pytest.mark.parametrize("fate", [FAILURE, FINAL])
async def test_bytes_of_records_that_failed_count_towards_what_one_settlement_may_write(
    fate: Outcome,
) -> None:
    large = b'{"t":"%s"}' % (b"x" * 3_000_000)
    planner, work = await handled(stage(), [entry(n, large) for n in range(6)], [fate] * 6)

    portions = portions_of(planner, work)

    assert sorted(place for portion in portions for place in portion) == list(range(6))
    assert all(len(portion) * len(large) <= MAX_BYTES for portion in portions)


async def test_bytes_of_packs_that_are_taken_apart_count_too() -> None:
    packs = [pack(n, range(100 * n, 100 * n + 100), deliveries=2) for n in range(4)]
    planner, work = await handled(stage(), packs, [])
    work.singles = {at: [Output("s", ["data", b"x" * 3_000_000])] for at in work.singles}

    assert [len(portion) for portion in portions_of(planner, work)] == [2, 2]
