"""What becomes of what a handler returned: ports, ids, headers, drops, and records that end here."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from rsq_pipe.errors import HandlerContractError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import MAX_CHILDREN, Drop, Emit, Failure, Outcomes, Reject, Retry
from rsq_pipe.spec.graph import Stage
from rsq_pipe.streams.entry import MAX_FIELDS
from rsq_pipe.verbs.normalise import Normaliser
from tests.unit.verbs.given import One, batch_of, each, numbered, one, stage


def normalised(*results: Any, of: Stage | None = None, on: Batch | None = None) -> Outcomes:
    given = on or numbered(len(results))
    found = Normaliser(of or stage()).outcomes(given, list(results))
    each(given, found)  # checks that each record ends in one way
    return found


def failure(result: Any, of: Stage | None = None, on: One | None = None) -> str:
    """Why the one record fails for good."""
    found = normalised(result, of=of, on=batch_of(on or one({})))
    (failed,) = found.failed.values()
    assert isinstance(failed, Failure)
    assert isinstance(failed.error, HandlerContractError)
    assert not failed.retryable
    assert failed.error.__traceback__ is None  # it would keep the batch in memory
    assert failed.error.stage == "price"
    assert (found.emitted, found.dropped, list(found.done)) == ({}, {}, [])
    return str(failed.error)


def headers(result: Any, on: One) -> dict[str, str]:
    """The headers beside its id with which the one record goes on."""
    (emitted,) = normalised(result, of=stage(ports=("large",)), on=batch_of(on)).emitted.values()
    assert list(emitted.rids) == [on.rid]
    return dict(emitted.headers.get(0, {}))


def test_records_alone_share_the_columns_of_their_batch() -> None:
    given, results = numbered(3), [{"n": 1}, {"n": 2}, {"n": 3}]

    found = Normaliser(stage()).outcomes(given, results)

    emitted = found.emitted[""]
    assert emitted.records is results
    assert emitted.rids is given.rids
    assert list(emitted.sources) == [0, 1, 2]
    assert (emitted.headers, found.dropped, found.failed, list(found.done)) == ({}, {}, {}, [])


def test_a_batch_of_none_has_no_outcome() -> None:
    assert normalised() == Outcomes()


def test_each_kind_of_outcome_is_where_it_belongs() -> None:
    failed, retry, reject = Failure(ValueError()), Retry("30s"), Reject("no")

    found = normalised({"n": 0}, None, failed, retry, reject, Drop("old"), {"n": 6})

    assert (found.emitted[""].records, found.emitted[""].sources) == ([{"n": 0}, {"n": 6}], [0, 6])
    assert found.emitted[""].rids == ["read:0", "read:6"]
    assert found.dropped == {"returned None": [1], "old": [5]}
    assert found.failed == {2: failed, 3: retry, 4: reject}


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (None, "returned None"),
        (Drop(), "no reason given"),
        (Drop("too old"), "too old"),
        (Drop("from redis://jo:hunter2@cache/0"), "from redis://jo:***@cache/0"),
        ([], "returned no records"),
        ((), "returned no records"),
    ],
)
def test_nothing_returned_is_one_drop_with_its_reason(outcome: Any, reason: str) -> None:
    assert normalised(outcome, {"n": 1}, outcome).dropped == {reason: [0, 2]}


def test_drops_whose_reasons_are_one_once_secrets_are_masked_are_counted_together() -> None:
    found = normalised(*(Drop(f"from redis://jo:hunter{n}@cache/0") for n in range(3)))

    assert found.dropped == {"from redis://jo:***@cache/0": [0, 1, 2]}


# Stages without an output


@pytest.mark.parametrize("outcome", [None, {"sent": True}, [], [{"n": 1}], Emit({"n": 1})])
def test_what_a_stage_without_an_output_returns_from_is_done(outcome: Any) -> None:
    found = normalised(outcome, outcome, of=stage(output=False))

    assert found == Outcomes(done=[0, 1])


def test_a_stage_without_an_output_still_drops_rejects_and_emits_to_ports() -> None:
    ends, reject = stage(ports=("odd",), output=False), Reject("no address")

    found = normalised(Drop("sent before"), reject, Emit({"n": 1}, "odd"), {"n": 2}, of=ends)

    assert found.dropped == {"sent before": [0]}
    assert found.failed == {1: reject}
    assert (list(found.emitted), found.emitted["odd"].sources) == (["odd"], [2])
    assert found.done == [3]


def test_of_several_records_those_that_name_a_port_go_on_and_keep_their_numbers() -> None:
    ends = stage(ports=("odd",), output=False)

    found = normalised([{"n": 1}, Emit({"n": 2}, "odd")], of=ends)

    assert (found.emitted["odd"].records, found.emitted["odd"].rids) == ([{"n": 2}], ["read:0.1"])
    assert found.done == []


# Ports and children


def test_children_get_record_ids_of_their_own_whatever_port_they_go_to() -> None:
    found = normalised({"n": 0}, [{"n": 1}, Emit({"n": 2}, "large"), {"n": 3}], of=stage(ports=("large",)))

    output, large = found.emitted[""], found.emitted["large"]
    assert (output.rids, output.sources) == (["read:0", "read:1.0", "read:1.2"], [0, 1, 1])
    assert (large.rids, large.sources, large.records) == (["read:1.1"], [1], [{"n": 2}])


def test_grandchildren_go_on_counting() -> None:
    found = normalised([{"n": 1}], on=batch_of(one({}, "read:1.4")))

    assert found.emitted[""].rids == ["read:1.4.0"]


@pytest.mark.parametrize("child", [{"n": 1}, Emit({"n": 1})])
def test_a_record_that_becomes_more_than_one_step_can_write_fails(child: Any) -> None:
    said = failure([child] * (MAX_CHILDREN + 1))

    assert said == (
        "stage 'price' made 10,001 records of one; the bound is 10,000, since they are written in one step"
    )
    assert len(normalised([child] * MAX_CHILDREN).emitted[""]) == MAX_CHILDREN


def test_a_port_the_stage_does_not_have_is_an_error_that_names_its_ports() -> None:
    said = failure(Emit({"n": 1}, to="larg"), of=stage(ports=("large", "small")))

    assert said == "stage 'price' emitted to port 'larg', which it does not have; its ports: 'large', 'small'"


def test_a_stage_with_ports_alone_has_no_output_without_one() -> None:
    for result in ({"n": 1}, Emit({"n": 1}), [{"n": 1}]):
        said = failure(result, of=stage(verb="route", ports=("large",), output=False))
        assert "emitted to an output without a port" in said


def test_nothing_of_a_record_goes_on_of_which_one_child_cannot() -> None:
    assert "'larg'" in failure(
        [{"n": 1}, Emit({"n": 2}, "large"), Emit({}, "larg")], of=stage(ports=("large",))
    )


# Headers


@pytest.mark.parametrize("result", [{"n": 2}, Emit({"n": 2}), Emit({"n": 2}, "large")])
def test_a_record_goes_on_with_its_trace_and_the_headers_of_the_user(result: Any) -> None:
    came = one({}, traceparent="00-a-b-01", currency="EUR")

    assert headers(result, came) == {"traceparent": "00-a-b-01", "currency": "EUR"}


@pytest.mark.parametrize("result", [{"n": 2}, Emit({"n": 2}, "large"), Emit({"n": 2}, headers={"k": "v"})])
def test_the_systems_headers_end_with_the_stage(result: Any) -> None:
    came = One({}, "read:1", 2, {"rsq-replay-link": "00-1-2-01", "rsq-dlq-reason": "timeout", "a": "1"})

    assert headers(result, came).items() - {("k", "v")} == {("a", "1")}
    assert headers(result, One({}, "read:1", 0, {"rsq-dlq-stage": "x"})).items() <= {("k", "v")}


def test_emitted_headers_are_added_to_those_of_the_record_and_stand_before_them() -> None:
    came = one({}, a="1", b="1")

    assert headers(Emit({}, headers={"b": "2", "c": "2"}), came) == {"a": "1", "b": "2", "c": "2"}
    assert came.headers == {"a": "1", "b": "1"}


def test_children_have_the_headers_of_their_parent_and_their_own() -> None:
    given = batch_of(one({}), one({}, "read:1", k="1"), one({}, "read:2", k="2"))

    found = normalised({}, [{}, Emit({}, headers={"c": "3"})], Emit({}), on=given)

    assert found.emitted[""].headers == {1: {"k": "1"}, 2: {"k": "1", "c": "3"}, 3: {"k": "2"}}
    assert normalised([{}, {}], {}, {}, on=given).emitted[""].headers == {2: {"k": "1"}, 3: {"k": "2"}}


@pytest.mark.parametrize("name", ["data", "rsq-rid", "rsq-attempts", "rsq-dlq-reason", "rsq-new"])
def test_a_handler_cannot_set_a_header_that_is_the_systems(name: str) -> None:
    said = failure(Emit({"n": 2}, headers={name: "7"}))

    assert said == (
        f"stage 'price' emitted the header {name!r}, which is not a handler's to set: "
        "'data' holds the record, and what begins with 'rsq-' is rsq-pipe's own; give it another name"
    )


def test_a_handler_may_hand_on_the_headers_it_got_and_add_its_own() -> None:
    came = One({}, "read:1", 2, {"currency": "EUR", "rsq-replay-link": "x"})
    got = {"rsq-rid": "read:1", "rsq-attempts": "2", "currency": "EUR", "rsq-replay-link": "x"}

    assert headers(Emit({}, headers={**got, "attempts": "9", "rid": "", "dlq-x": "1"}), came) == {
        "currency": "EUR",
        "attempts": "9",
        "rid": "",
        "dlq-x": "1",
    }
    assert "'rsq-attempts'" in failure(Emit({}, headers={**got, "rsq-attempts": "0"}), on=came)


@pytest.mark.parametrize("wish", [{"k": "\ud800"}, {"\ud800": "v"}])
def test_a_header_that_cannot_be_written_is_an_error(wish: dict[str, str]) -> None:
    said = failure(Emit({}, headers=wish))

    assert said == (
        "stage 'price' emitted a header that cannot be written: '\\ud800'; names and values are text"
    )


def test_more_headers_than_an_entry_may_have_are_an_error() -> None:
    # One is the record, which is a field among them.
    most = {f"h{n}": "" for n in range(MAX_FIELDS - 1)}

    assert len(headers(Emit({}, headers=most), one({}))) == MAX_FIELDS - 1
    assert failure(Emit({}, headers={**most, "more": ""})) == (
        "stage 'price' emitted 1,001 headers; the bound is 999"
    )
    assert "headers; the bound is" in failure(Emit({}, headers=most), on=one({}, more=""))


# All of it at once


def test_a_mixed_batch_comes_out_as_it_was_returned() -> None:
    draw = random.Random(7)
    kinds: list[Callable[[int], Any]] = [
        lambda n: {"n": n},
        lambda n: {"n": n},
        lambda n: None,
        lambda n: [{"n": n}, {"n": -n}],
        lambda n: [{"n": n}, Emit({"n": -n}, "large")],
        lambda n: [],
        lambda n: Emit({"n": n}, "large"),
        lambda n: Drop("old"),
        Retry,
        lambda n: Reject("no"),
    ]
    results = [draw.choice(kinds)(n) for n in range(500)]
    given = numbered(500)

    found = Normaliser(stage(ports=("large",))).outcomes(given, results)

    assert each(given, found) == results
