"""join: pairs of records of two sides, whatever order they come in and however many share the state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rsq_pipe.errors import RecordInvalidError
from rsq_pipe.model.outcome import MAX_CHILDREN, Failure
from rsq_pipe.model.waiting import Waiting, written
from rsq_pipe.spec.record_key import RecordKey
from rsq_pipe.spec.stages.join import Joining
from rsq_pipe.streams.headers import INPUT
from tests.unit.verbs.joining import (
    HOUR,
    ORDER,
    PAYMENT,
    Remembered,
    alone,
    batch,
    joining,
    pairs,
    settled,
    verb,
)


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


async def test_a_key_inside_of_null_is_null_and_one_that_is_missing_fails(state: Remembered) -> None:
    key = RecordKey("customer.id", (("customer", "id"),))
    join = verb(state, Joining(key, key, "", "payment", None, "left"))

    found = await settled(join, state, batch(("orders", {"customer": None}), ("orders", {"customer": {}})))

    assert found.emitted[""].records == [{"customer": None, "payment": None}]
    assert [*found.failed] == [1]


async def test_a_record_that_comes_again_knows_its_side(state: Remembered) -> None:
    again = batch(("again", {"id": 1, "paid": 5}), first=7)
    again.headers = {0: {INPUT: "right", "mine": "yes"}}
    join = verb(state)
    await settled(join, state, batch(ORDER))

    found = await settled(join, state, again)

    assert pairs(found) == ["orders:0&again:7"]
    assert found.emitted[""].headers == {0: {"mine": "yes"}}


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
