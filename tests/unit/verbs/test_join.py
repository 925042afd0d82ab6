"""join: pairs of records of two sides, whatever order they come in and however many share the state."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from rsq_pipe.errors import RecordInvalidError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.model.outcome import MAX_CHILDREN, Failure, Outcomes
from rsq_pipe.model.waiting import MET, Waiting, read, written
from rsq_pipe.spec.record_key import RecordKey
from rsq_pipe.spec.stages.join import Joining
from rsq_pipe.streams.headers import INPUT
from rsq_pipe.streams.serializers import JsonSerializer
from rsq_pipe.testing.state_in_memory import StateInMemory
from rsq_pipe.verbs.join import SHORT, Join
from rsq_pipe.verbs.windows.buckets import Buckets, listed, spelled
from rsq_pipe.verbs.windows.pairing import Shape
from rsq_pipe.verbs.windows.unmatched import Unmatched

HOUR = 3_600_000


class Remembered(StateInMemory):
    """A state whose clock stands still."""

    def __init__(self, now: int) -> None:
        super().__init__(lambda: self.now)
        self.now = now


def joining(kind: Any = "inner", on: str = "id", *, name: str = "", within: float | None = 3600.0) -> Joining:
    key = RecordKey(on, ((on,),))
    return Joining(key, key, name, "payment", within, kind)


def verb(state: Remembered, of: Joining | None = None, *ports: str) -> Join:
    return Join(
        "paid",
        of or joining(),
        state,
        streams={"orders": 0, "payments": 1},
        ports=ports,
        form=JsonSerializer(),
    )


def batch(*records: tuple[str, dict[str, Any]], first: int = 0) -> Batch:
    """Records, each with the stream it came by."""
    deliveries = [Delivery(stream, f"{first + at}-0", 1) for at, (stream, _) in enumerate(records)]
    rids = [f"{stream}:{first + at}" for at, (stream, _) in enumerate(records)]
    return Batch([record for _, record in records], rids, deliveries=deliveries)


async def settled(join: Join, state: Remembered, of: Batch) -> Outcomes:
    """What becomes of a batch: processed until its change of the state holds."""
    while True:
        found = await join.process(of)
        if found.state is None or state.settle(found.state) != "stale":
            return found


def alone(state: Remembered, bucket: str, of: Joining | None = None, *ports: str) -> tuple[Unmatched, Batch]:
    """What in a bucket has found no other."""
    verb = Unmatched(Shape("paid", of or joining(), ports), JsonSerializer())
    return verb, verb.batch(int(bucket), sorted(state.hashes[bucket].items()))


def pairs(found: Outcomes) -> list[str]:
    return found.emitted[""].rids if "" in found.emitted else []


ORDER, PAYMENT = ("orders", {"id": 1, "total": 5}), ("payments", {"id": 1, "paid": 5})


@pytest.fixture
def state() -> Remembered:
    return Remembered(now=100 * HOUR)


@pytest.mark.parametrize("order", [(ORDER, PAYMENT), (PAYMENT, ORDER)], ids=["left first", "right first"])
@pytest.mark.parametrize("together", [True, False])
async def test_two_records_of_one_key_become_one(
    state: Remembered, order: Sequence[Any], together: bool
) -> None:
    join = verb(state)
    batches = [batch(*order)] if together else [batch(order[0]), batch(order[1], first=1)]

    found = [await settled(join, state, one) for one in batches]

    made = [record for one in found for port in one.emitted.values() for record in port.records]
    assert made == [{"id": 1, "total": 5, "payment": {"id": 1, "paid": 5}}]
    assert sum(len(one.stored) for one in found) == 2, "both wait for others"


async def test_the_pair_has_the_ids_of_both_the_left_one_first(state: Remembered) -> None:
    found = await settled(verb(state), state, batch(PAYMENT, ORDER))

    assert pairs(found) == ["orders:1&payments:0"]
    assert list(found.emitted[""].sources) == [1], "made when the second of them came"


async def test_each_of_many_is_put_together_with_each(state: Remembered) -> None:
    found = await settled(verb(state), state, batch(ORDER, ORDER, PAYMENT, PAYMENT, ORDER))

    assert sorted(pairs(found)) == sorted(
        f"orders:{left}&payments:{right}" for left in (0, 1, 4) for right in (2, 3)
    )


async def test_records_of_different_keys_do_not_meet(state: Remembered) -> None:
    found = await settled(
        verb(state), state, batch(ORDER, ("payments", {"id": "1"}), ("payments", {"id": 2}))
    )

    assert not found.emitted
    assert found.stored == [0, 1, 2]


async def test_the_left_record_stands_under_a_name_of_its_own(state: Remembered) -> None:
    found = await settled(verb(state, joining(name="order")), state, batch(ORDER, PAYMENT))

    assert found.emitted[""].records == [{"order": ORDER[1], "payment": PAYMENT[1]}]


async def test_a_left_record_that_has_the_right_ones_field_already_fails(state: Remembered) -> None:
    found = await settled(verb(state), state, batch(("orders", {"id": 1, "payment": "cash"}), PAYMENT))

    assert isinstance(found.failed[0], Failure)
    assert isinstance(found.failed[0].error, RecordInvalidError)
    assert "rename it with `as: {right: NAME}`" in str(found.failed[0].error)
    assert found.stored == [1], "the others do not"


async def test_a_record_without_the_field_fails_alone(state: Remembered) -> None:
    found = await settled(verb(state), state, batch(("orders", {}), ORDER, PAYMENT))

    assert [*found.failed] == [0]
    assert len(pairs(found)) == 1


LEFT, RIGHT = {"id": None, "n": 1}, {"id": None, "n": 2}


@pytest.mark.parametrize(
    ("kind", "ports", "expected"),
    [
        ("inner", (), {"dropped": 2}),
        ("inner", ("left",), {"left": [LEFT], "dropped": 1}),
        ("inner", ("left", "right"), {"left": [LEFT], "right": [RIGHT]}),
        ("left", (), {"": [{"id": None, "n": 1, "payment": None}], "dropped": 1}),
        (
            "outer",
            (),
            {
                "": [
                    {"o": {"id": None, "n": 1}, "payment": None},
                    {"o": None, "payment": {"id": None, "n": 2}},
                ]
            },
        ),
    ],
)
async def test_null_belongs_to_nothing_and_waits_for_nothing(
    state: Remembered, kind: str, ports: tuple[str, ...], expected: dict[str, Any]
) -> None:
    join = verb(state, joining(kind, name="o" if kind == "outer" else ""), *ports)

    found = await settled(join, state, batch(("orders", {**LEFT}), ("payments", {**RIGHT})))

    made: dict[str, Any] = {port: emitted.records for port, emitted in found.emitted.items()}
    dropped = found.dropped.get("unmatched", [])
    assert made | ({"dropped": len(dropped)} if dropped else {}) == expected
    assert not found.stored
    assert found.state is None


async def test_a_record_that_comes_again_knows_its_side(state: Remembered) -> None:
    again = batch(("again", {"id": 1, "paid": 5}), first=7)
    again.headers = {0: {INPUT: "right", "mine": "yes"}}
    join = verb(state)
    await settled(join, state, batch(ORDER))

    found = await settled(join, state, again)

    assert pairs(found) == ["orders:0&again:7"]
    assert found.emitted[""].headers == {0: {"mine": "yes"}}


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


async def test_a_record_waits_as_long_as_it_is_said_and_an_eighth_at_most(state: Remembered) -> None:
    join = verb(state)
    await settled(join, state, batch(ORDER))
    (bucket,) = (name for name in state.hashes if name)

    due = state.timers[bucket] - state.now

    assert HOUR <= due <= HOUR * 9 / 8


async def test_records_of_all_buckets_that_wait_are_found(state: Remembered) -> None:
    join = verb(state)
    for _ in range(4):
        await settled(join, state, batch(ORDER, first=state.now))
        state.now += HOUR // 4

    found = await settled(verb(state), state, batch(PAYMENT))

    assert len(pairs(found)) == 4
    assert len(state.timers) == 5


async def test_who_has_met_another_is_no_longer_unmatched(state: Remembered) -> None:
    join = verb(state)
    await settled(join, state, batch(ORDER, ("orders", {"id": 2})))
    await settled(join, state, batch(PAYMENT, ("payments", {"id": 3}), first=2))
    await settled(join, state, batch(ORDER, first=4))
    (bucket,) = (name for name in state.hashes if name)

    _, left = alone(state, bucket)

    assert left.rids == ["orders:1", "payments:3"]
    assert [left.headers_at(place)[INPUT] for place in (0, 1)] == ["left", "right"]


@pytest.mark.parametrize(
    ("kind", "ports", "expected"),
    [
        ("inner", (), {"dropped": 2}),
        ("inner", ("right",), {"right": [{"id": 3}], "dropped": 1}),
        ("left", ("right",), {"": [{"id": 2, "payment": None}], "right": [{"id": 3}]}),
        (
            "outer",
            (),
            {"": [{"order": {"id": 2}, "payment": None}, {"order": None, "payment": {"id": 3}}]},
        ),
    ],
)
async def test_who_waited_in_vain_leaves_as_it_is_said(
    state: Remembered, kind: str, ports: tuple[str, ...], expected: dict[str, Any]
) -> None:
    of = joining(kind, name="order" if kind == "outer" else "")
    await settled(
        verb(state, of), state, batch(ORDER, PAYMENT, ("orders", {"id": 2}), ("payments", {"id": 3}))
    )
    (bucket,) = (name for name in state.hashes if name)
    unmatched, left = alone(state, bucket, of, *ports)

    found = await unmatched.process(left)

    made: dict[str, Any] = {port: emitted.records for port, emitted in found.emitted.items()}
    dropped = found.dropped.get("unmatched", [])
    assert made | ({"dropped": len(dropped)} if dropped else {}) == expected
    assert sorted(rid for emitted in found.emitted.values() for rid in emitted.rids) == [
        rid for rid, place in zip(left.rids, range(2), strict=True) if place not in dropped
    ]


async def test_more_than_the_bound_for_one_key_is_refused(state: Remembered) -> None:
    (name,) = [b"L1"]
    state.hashes = {"": {b"buckets": b"0"}}
    state.hashes["0"] = {name: written([Waiting(str(n), b"{}") for n in range(MAX_CHILDREN)])}

    found = await settled(verb(state, joining(within=None)), state, batch(ORDER, PAYMENT))

    assert "10,000 records of the left side wait for this key already" in str(found.failed[0].error)  # type: ignore[union-attr]
    assert len(pairs(found)) == MAX_CHILDREN


async def test_without_within_records_wait_until_the_inputs_end(state: Remembered) -> None:
    await settled(verb(state, joining(within=None)), state, batch(ORDER))
    state.now += 10_000 * HOUR

    found = await settled(verb(state, joining(within=None)), state, batch(PAYMENT, first=1))

    assert len(pairs(found)) == 1
    assert state.timers == {"0": 1}


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


def test_what_waits_is_read_as_it_was_written() -> None:
    one, other = Waiting("a", b'{"n": 1}'), Waiting("b", b"{}", met=True)

    assert read(written([one]) + written([other])) == [one, other]
    assert [waiting.met for waiting in read(written([one]) + MET + written([one]))] == [True, False]


@pytest.mark.parametrize("buckets", [[], [7], [3, 4, 9]])
def test_the_names_of_buckets_are_read_as_they_were_written(buckets: list[int]) -> None:
    assert listed(spelled(buckets).encode()) == buckets


@pytest.mark.parametrize("within", [None, 1, 7, 8, 1_000, HOUR])
def test_what_enters_a_bucket_now_is_kept_long_enough_and_not_after_it_was_closed(within: int | None) -> None:
    buckets = Buckets(within)
    for now in (0, 5, 100 * HOUR, 100 * HOUR + 1):
        for closed in (0, 3, 90 * HOUR, 100 * HOUR, 102 * HOUR):
            due = buckets.due(buckets.current(now, closed))
            assert due > closed
            if within is not None:
                assert due >= now + within
            if within is not None and closed <= now:
                assert due <= now + within + max(1, within // 8)


@pytest.mark.parametrize("within", [None, 3600.0])
async def test_what_was_closed_is_met_by_nothing_that_comes_later(
    state: Remembered, within: float | None
) -> None:
    join = verb(state, joining(within=within))
    await settled(join, state, batch(ORDER))
    (bucket,) = (name for name in state.hashes if name)
    state.hashes[""][b"closed"] = b"%d" % state.timers[bucket]  # as the end of its input does

    found = await settled(join, state, batch(PAYMENT, first=1))

    assert not found.emitted
    assert len(state.timers) == 2, "it waits in another bucket"


async def test_a_batch_that_was_decided_before_others_were_closed_is_processed_again(
    state: Remembered,
) -> None:
    join = verb(state)
    await settled(join, state, batch(ORDER))
    (bucket,) = (name for name in state.hashes if name)
    found = await join.process(batch(PAYMENT, first=1))
    assert found.emitted
    state.hashes[""][b"closed"] = b"%d" % state.timers[bucket]

    assert found.state is not None
    assert state.settle(found.state) == "stale"


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
