from __future__ import annotations

import asyncio
import json
import math
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from rsq_pipe.errors import HandlerContractError, HandlerTimeoutError, RecordInvalidError
from rsq_pipe.handlers.batch_handler import batch_handler
from rsq_pipe.model.outcome import Drop, Failure
from rsq_pipe.verbs.context import BatchContext
from tests.unit.verbs.given import batch_of, calling, numbered, one, outcomes, stage

Records = list[dict[str, Any]]


def failing_on(*bad: int) -> tuple[Any, list[int]]:
    """A batch handler that raises if one of these is among its records, and the sizes of its calls."""
    sizes: list[int] = []

    @batch_handler
    def handler(records: Records) -> Records:
        sizes.append(len(records))
        for record in records:
            record["seen"] = record.get("seen", 0) + 1
            if record["n"] in bad:
                raise ValueError(f"bad {record['n']}")
        return records

    return handler, sizes


async def test_a_batch_handler_is_called_once_with_all_records() -> None:
    handler, sizes = failing_on()

    found = await outcomes(handler, *({"n": n} for n in range(200)))

    assert [record["n"] for record in found] == list(range(200))
    assert sizes == [200]


@pytest.mark.parametrize("bad", [(0,), (77,), (199,), (3, 4), (0, 50, 100, 150, 199)])
async def test_only_the_bad_records_fail_within_a_bounded_number_of_calls(bad: tuple[int, ...]) -> None:
    handler, sizes = failing_on(*bad)

    found = await outcomes(handler, *({"n": n} for n in range(200)))

    failed = {place: outcome for place, outcome in enumerate(found) if isinstance(outcome, Failure)}
    assert set(failed) == set(bad)
    assert all(outcome.retryable and str(outcome.error) == f"bad {n}" for n, outcome in failed.items())
    assert len(sizes) <= 2 * len(bad) * math.ceil(math.log2(200)) + 1


async def test_a_second_call_sees_records_as_they_came_in() -> None:
    handler, _ = failing_on(1)

    found = await outcomes(handler, *({"n": n} for n in range(4)))

    assert [record["seen"] for record in found if isinstance(record, dict)] == [1, 1, 1]


async def test_an_async_batch_handler_is_bisected_too() -> None:
    @batch_handler
    async def handler(records: Records) -> Records:
        await asyncio.sleep(0)
        return [{"inverse": 1 / record["n"]} for record in records]

    found = await outcomes(handler, {"n": 1}, {"n": 0}, {"n": 2})

    assert [found[0], found[2]] == [{"inverse": 1.0}, {"inverse": 0.5}]
    assert isinstance(found[1].error, ZeroDivisionError)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ([{}], "returned 1 outcome for 3 records"),
        ([{}] * 4, "returned 4 outcomes for 3 records"),
        (None, "returned NoneType"),
        ({"a": 1}, "returned dict"),
        (iter([{}] * 3), "returned list_iterator"),
    ],
)
async def test_a_wrong_number_of_outcomes_fails_all_for_good_after_one_call(returned: Any, said: str) -> None:
    calls: list[int] = []

    @batch_handler
    def handler(records: Records) -> Any:
        calls.append(len(records))
        return returned

    found = await outcomes(handler, {}, {}, {})

    assert calls == [3]
    for failed in found:
        assert not failed.retryable
        assert isinstance(failed.error, HandlerContractError)
        assert said in str(failed.error)


async def test_one_outcome_of_a_wrong_type_fails_its_record_alone() -> None:
    @batch_handler
    def handler(records: Records) -> list[Any]:
        return [{"ok": 1}, 7, Drop("old")]

    found = await outcomes(handler, {}, {}, {})

    assert (found[0], found[2]) == ({"ok": 1}, Drop("old"))
    assert isinstance(found[1].error, HandlerContractError)
    assert not found[1].retryable


async def test_records_that_do_not_validate_fail_alone_before_the_call() -> None:
    class Order(BaseModel):
        n: int

    seen: list[list[int]] = []

    @batch_handler
    def handler(orders: list[Order]) -> list[Order]:
        seen.append([order.n for order in orders])
        return orders

    # The annotation names a class of this function, which strings cannot reach.
    handler.__annotations__["orders"] = list[Order]
    found = await outcomes(handler, {"n": 1}, {"n": "x"}, {"n": "3"}, {})

    assert seen == [[1, 3]]
    assert (found[0], found[2]) == ({"n": 1}, {"n": 3})
    assert [type(found[place].error) for place in (1, 3)] == [RecordInvalidError] * 2


async def test_a_batch_without_one_valid_record_makes_no_call() -> None:
    class Order(BaseModel):
        n: int

    @batch_handler
    def handler(orders: list[Order]) -> list[Order]:
        raise AssertionError("called")

    handler.__annotations__["orders"] = list[Order]
    found = await outcomes(handler, {}, {"n": "x"})

    assert [type(failed.error) for failed in found] == [RecordInvalidError] * 2


async def test_the_context_names_each_record_of_the_call() -> None:
    seen: list[Any] = []

    @batch_handler
    def handler(records: Records, ctx: BatchContext) -> Records:
        seen.append((len(records), ctx.rids, ctx.attempts, ctx.headers[0]["k"]))
        if len(records) == 2:
            raise ValueError
        return records

    async with calling(handler) as verb:
        await verb.process(batch_of(one({}, "a", k="1"), one({}, "b", attempts=2, k="2")))

    assert seen == [(2, ("a", "b"), (1, 3), "1"), (1, ("a",), (1,), "1"), (1, ("b",), (3,), "2")]


async def test_one_record_that_hangs_is_found_among_200() -> None:
    let_go = threading.Event()

    @batch_handler
    def handler(records: Records) -> Records:
        if any(record["n"] == 130 for record in records):
            let_go.wait(30)
        return records

    async with calling(handler, stage(timeout=0.05)) as verb:
        found = await verb.process(numbered(200))
        let_go.set()

    assert [place for place, outcome in enumerate(found) if isinstance(outcome, Failure)] == [130]
    assert isinstance(found[130], Failure)
    assert isinstance(found[130].error, HandlerTimeoutError)


async def test_a_handler_that_always_hangs_fails_the_batch_after_a_few_timeouts() -> None:
    calls: list[int] = []

    @batch_handler
    async def handler(records: Records) -> Records:
        calls.append(len(records))
        await asyncio.Event().wait()
        return records

    found = await outcomes(handler, *({"n": n} for n in range(200)), of=stage(timeout=0.02))

    assert all(isinstance(failed.error, HandlerTimeoutError) and failed.retryable for failed in found)
    assert len(calls) < 20


async def test_an_empty_batch_makes_no_call() -> None:
    handler, sizes = failing_on()

    assert await outcomes(handler) == []
    assert sizes == []


@pytest.mark.parametrize("bad", [(0,), (3, 4)])
async def test_records_are_made_anew_of_their_bytes_where_the_batch_knows_them(bad: tuple[int, ...]) -> None:
    handler, _ = failing_on(*bad)
    asked: list[int] = []
    given = numbered(6)

    def original(place: int) -> bytes:
        asked.append(place)
        return b'{"n":%d}' % place

    given.original = original
    async with calling(handler, decode=json.loads) as verb:
        found = await verb.process(given)

    assert [place for place, outcome in enumerate(found) if isinstance(outcome, Failure)] == list(bad)
    assert [record["seen"] for record in found if isinstance(record, dict)] == [1] * (6 - len(bad))
    assert set(asked) == set(range(6))


async def test_no_bytes_are_asked_for_while_no_call_raises() -> None:
    handler, _ = failing_on()
    given = numbered(3)
    given.original = lambda place: pytest.fail("asked for bytes")

    async with calling(handler, decode=json.loads) as verb:
        assert len(await verb.process(given)) == 3


async def test_a_slice_of_a_batch_without_bytes_is_bisected_too() -> None:
    handler, _ = failing_on(2)

    async with calling(handler, decode=json.loads) as verb:
        found = await verb.process(numbered(6).only([1, 2, 3]))

    assert [isinstance(outcome, Failure) for outcome in found] == [False, True, False]


async def test_the_batch_itself_is_left_as_it_is_by_a_handler_that_empties_its_list() -> None:
    @batch_handler
    def handler(records: Records) -> Records:
        taken = records.copy()
        records.clear()
        return taken

    given = numbered(3)
    async with calling(handler) as verb:
        assert await verb.process(given) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert len(given.records) == 3


async def test_the_context_of_a_call_after_a_failed_validation_names_the_valid_records() -> None:
    class Order(BaseModel):
        n: int

    seen: list[Any] = []

    @batch_handler
    def handler(orders: list[Order], ctx: BatchContext) -> list[Order]:
        seen.append((ctx.rids, ctx.attempts, [headers.get("k") for headers in ctx.headers]))
        return orders

    handler.__annotations__["orders"] = list[Order]
    async with calling(handler) as verb:
        found = await verb.process(
            batch_of(one({"n": "x"}, "a", 1), one({"n": 2}, "b", 2, k="2"), one({"n": 3}, "c"))
        )

    assert [isinstance(outcome, Failure) for outcome in found] == [True, False, False]
    assert seen == [(("b", "c"), (3, 1), ["2", None])]


async def test_a_handler_that_makes_its_list_longer_fails_the_batch_and_not_the_stage() -> None:
    @batch_handler
    def handler(records: Records) -> Records:
        records.append({})
        return records

    found = await outcomes(handler, {}, {})

    assert all("returned 3 outcomes for 2 records" in str(failed.error) for failed in found)
