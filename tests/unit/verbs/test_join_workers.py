"""join: workers that share the state, and batches decided before the last one is settled."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.verbs.join import SHORT, Join
from tests.unit.verbs.joining import HOUR, ORDER, PAYMENT, Remembered, alone, batch, pairs, settled, verb


@pytest.fixture
def state() -> Remembered:
    return Remembered(now=100 * HOUR)


async def test_two_workers_that_see_the_two_sides_at_once_do_not_miss_each_other(state: Remembered) -> None:
    one, other = verb(state), verb(state)
    left, right = await one.process(batch(ORDER)), await other.process(batch(PAYMENT, first=1))
    assert not left.emitted
    assert not right.emitted

    assert left.state is not None
    assert state.settle(left.state) == ""
    assert right.state is not None
    assert state.settle(right.state) == "stale"
    assert pairs(await settled(other, state, batch(PAYMENT, first=1))) == ["orders:0&payments:1"]


async def test_two_workers_with_records_of_one_side_do_not_disturb_each_other(state: Remembered) -> None:
    one, other = verb(state), verb(state)
    await settled(one, state, batch(("orders", {"id": 9})))  # the bucket is there
    first, second = await one.process(batch(ORDER, first=1)), await other.process(batch(ORDER, first=2))

    assert first.state is not None
    assert state.settle(first.state) == ""
    assert second.state is not None
    assert state.settle(second.state) == ""
    found = await settled(one, state, batch(PAYMENT, first=3))
    assert sorted(pairs(found)) == ["orders:1&payments:3", "orders:2&payments:3"]


@pytest.mark.parametrize("seed", range(30))
async def test_any_order_batches_and_workers_make_the_pairs_that_brute_force_makes(seed: int) -> None:
    draw = random.Random(seed)
    state = Remembered(now=100 * HOUR)
    workers = [verb(state) for _ in range(3)]
    records = [
        (draw.choice(["orders", "payments"]), {"id": draw.choice([None, 1, 2.0, "2", 3, 4])})
        for _ in range(60)
    ]
    of_all = batch(*records)
    made: list[str] = []
    waiting: list[list[int]] = []
    while records or waiting:
        if records:
            size = draw.randint(1, 9)
            start = len(of_all) - len(records)
            waiting.append([*range(start, min(start + size, len(of_all)))])
            records = records[size:]
        # Two are handled at once: one of them may have to be handled again.
        chosen = [waiting.pop(draw.randrange(len(waiting))) for _ in range(min(2, len(waiting)))]
        tries = [(places, await draw.choice(workers).process(of_all.only(places))) for places in chosen]
        for places, found in tries:
            if found.state is not None and state.settle(found.state) == "stale":
                waiting.append(places)
            else:
                made += pairs(found)

    def name(at: int) -> str:
        return of_all.rids[at]

    lefts = [at for at in range(60) if of_all.deliveries[at].stream == "orders"]
    rights = [at for at in range(60) if of_all.deliveries[at].stream == "payments"]
    keys = [record["id"] for record in of_all.records]
    wanted = [
        f"{name(left)}&{name(right)}"
        for left in lefts
        for right in rights
        if keys[left] is not None and keys[left] == keys[right]
    ]
    assert sorted(made) == sorted(wanted)
    left = {rid for bucket in state.hashes if bucket for rid in alone(state, bucket)[1].rids}
    met = {rid for one in wanted for rid in one.split("&")}
    assert left == {name(at) for at in range(60) if keys[at] is not None} - met


def checked(found: Outcomes) -> set[str]:
    """The kinds of checks of a batch's change."""
    assert found.state is not None
    return {op.kind for op in found.state.checks}


async def test_a_worker_that_has_the_state_to_itself_checks_that_it_is_still_so_and_no_more(
    state: Remembered,
) -> None:
    join = verb(state)
    for first in range(2):
        await settled(join, state, batch(ORDER, PAYMENT, first=first))

    found = await settled(join, state, batch(ORDER, PAYMENT, first=2))

    assert "lengths" not in checked(found)
    assert len(pairs(found)) == 5, "of three orders and three payments, made by the last two of them"


async def test_a_worker_that_is_not_alone_checks_all_that_it_decided_by(state: Remembered) -> None:
    one, other = verb(state), verb(state)
    await settled(one, state, batch(ORDER))
    await settled(other, state, batch(("orders", {"id": 2}), first=1))

    found = await one.process(batch(PAYMENT, first=2))
    await settled(other, state, batch(("payments", {"id": 2}), first=3))

    assert "lengths" in checked(found)
    assert found.state is not None
    assert state.settle(found.state) == "", "what the other has changed is of another key"


async def test_of_two_workers_that_each_think_to_be_alone_the_second_decides_again(state: Remembered) -> None:
    one, other = verb(state), verb(state)
    first = await one.process(batch(ORDER))
    second = await other.process(batch(PAYMENT, first=1))
    assert first.state is not None
    assert second.state is not None

    assert (state.settle(first.state), state.settle(second.state)) == ("", "stale")
    again = await settled(other, state, batch(PAYMENT, first=1))
    assert (len(pairs(again)), checked(again) & {"lengths"}) == (1, {"lengths"})


async def test_what_waits_at_one_place_is_added_to_where_it_is_much_and_else_written_anew(
    state: Remembered,
) -> None:
    join = verb(state)
    large: tuple[str, dict[str, Any]] = ("orders", {"id": 1, "text": "x" * SHORT})
    kinds: list[set[str]] = []
    found = Outcomes()
    for first, record in enumerate([ORDER, large, large, PAYMENT]):
        found = await settled(join, state, batch(record, first=first))
        assert found.state is not None
        kinds.append({str(op.kind) for op in found.state.writes if op.bucket} - {"timer"})

    assert kinds == [{"append"}, {"set"}, {"append"}, {"set", "append"}], "at first it cannot know"
    assert len(pairs(found)) == 3
    (bucket,) = (name for name in state.hashes if name)
    assert not alone(state, bucket)[1].records, "all of them have met"


async def alone_for_a_while(state: Remembered) -> Join:
    join = verb(state)
    for first in range(2):
        await settled(join, state, batch(("orders", {"id": 100 + first}), first=100 + first))
    return join


@pytest.mark.parametrize("settled_first", [True, False])
@pytest.mark.parametrize("size", [0, SHORT])
async def test_what_is_being_settled_waits_already_whether_it_can_be_read_or_not(
    state: Remembered, settled_first: bool, size: int
) -> None:
    join = await alone_for_a_while(state)
    large: tuple[str, dict[str, Any]] = ("orders", {"id": 1, "text": "x" * size})
    await settled(join, state, batch(large, first=10))
    one = await join.process(batch(large, ("orders", {"id": 2}), first=20))
    join.assume(one.state)
    assert join.looks_ahead
    assert one.state is not None
    if settled_first:
        assert state.settle(one.state) == ""

    other = await join.process(batch(PAYMENT, ("payments", {"id": 2}), first=30))

    assert settled_first or state.settle(one.state) == ""
    assert sorted(pairs(other)) == [
        "orders:10&payments:30",
        "orders:20&payments:30",
        "orders:21&payments:31",
    ]
    assert other.state is not None
    assert state.settle(other.state) == ""
    (bucket,) = (name for name in state.hashes if name)
    assert alone(state, bucket)[1].rids == ["orders:100", "orders:101"]


async def test_what_was_made_by_a_batch_that_is_not_settled_in_the_end_is_not_written(
    state: Remembered,
) -> None:
    join = await alone_for_a_while(state)
    join.assume((await join.process(batch(ORDER))).state)

    found = await join.process(batch(PAYMENT, first=1))

    assert len(pairs(found)) == 1
    assert found.state is not None
    assert state.settle(found.state) == "stale"
    join.assume(None)
    assert pairs(await settled(join, state, batch(PAYMENT, first=1))) == []


async def test_where_others_change_the_state_a_batch_is_decided_when_the_one_before_is_settled(
    state: Remembered,
) -> None:
    join, other = await alone_for_a_while(state), verb(state)
    one = await join.process(batch(ORDER))
    join.assume(one.state)
    for first in (50, 60):
        await settled(other, state, batch(("orders", {"id": 7}), first=first))
    before = state.refused

    found = await join.process(batch(PAYMENT, first=1))

    assert not found.emitted
    assert found.state is None
    assert state.refused == before + 1, "so it is processed again"


async def test_behind_a_batch_that_begins_a_bucket_none_is_decided_before_that_is_settled(
    state: Remembered,
) -> None:
    join = await alone_for_a_while(state)
    state.now += HOUR

    join.assume((await join.process(batch(ORDER))).state)

    assert not join.looks_ahead
