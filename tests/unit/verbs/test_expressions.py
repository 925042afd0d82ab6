"""map, filter, route and pass."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.errors import EvaluationError, HandlerNotFoundError, MissingFieldError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.model.outcome import Drop, Emit, Failure
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.graph import HandlerRef, RouteCase
from rsq_pipe.verbs.batch_call import BatchCall
from rsq_pipe.verbs.build import build
from rsq_pipe.verbs.call import Call
from tests.unit.verbs.given import batch, each, stage

MAP = {
    "total": compile_expression("sum(line['price'] * line['quantity'] for line in lines)"),
    "id": compile_expression("id + 1"),
    "note": None,
}
ROUTE = (
    RouteCase("large", compile_expression("total >= 1000")),
    RouteCase("medium", compile_expression("total >= 100")),
    RouteCase("small", None),
)


async def run(verb: str, options: Any, *records: Any, root: Any = None) -> list[Any]:
    built = build(stage("price", verb, options), root=root, pipeline="orders")
    await built.open()
    given = batch(*records)
    found = await built.process(given)
    await built.close()
    return each(given, found)


async def test_map_sets_and_removes_fields_of_a_copy() -> None:
    record = {"id": 1, "lines": [{"price": 2.5, "quantity": 4}], "note": "x", "kept": True}

    found = await run("map", MAP, record)

    assert found == [{"id": 2, "lines": record["lines"], "total": 10.0, "kept": True}]
    assert (record["id"], record["note"]) == (1, "x")


async def test_every_expression_of_a_map_sees_the_record_as_it_came_in() -> None:
    options = {"a": compile_expression("b"), "b": compile_expression("a")}

    assert await run("map", options, {"a": 1, "b": 2}) == [{"a": 2, "b": 1}]


async def test_a_missing_field_fails_its_record_for_good_and_names_stage_field_and_expression() -> None:
    found = await run("map", MAP, {"id": 1}, {"id": 1, "lines": []})

    failed = found[0]
    assert not failed.retryable
    assert isinstance(failed.error, MissingFieldError)
    assert str(failed.error) == "stage 'price': map.total: field 'lines' is not in the record"
    assert (failed.error.stage, failed.error.field) == ("price", "lines")
    assert found[1] == {"id": 2, "lines": [], "total": 0}


async def test_any_other_error_of_an_expression_is_told_in_plain_words_and_kept_as_the_cause() -> None:
    [failed] = await run("map", {"a": compile_expression("1 / n")}, {"n": 0})

    assert isinstance(failed.error, EvaluationError)
    assert str(failed.error) == "stage 'price': map.a: a division by zero"
    assert isinstance(failed.error.__cause__, ZeroDivisionError)


async def test_filter_passes_what_is_true_drops_what_is_not_and_fails_what_cannot_be_told() -> None:
    found = await run("filter", compile_expression("n > 1"), {"n": 2}, {"n": 1}, {}, {"n": "x"})

    assert found[:2] == [{"n": 2}, Drop("filter")]
    assert str(found[2].error) == "stage 'price': filter: field 'n' is not in the record"
    assert "filter: `>` cannot compare text with a whole number; write float(a)" in str(found[3].error)
    assert [outcome.retryable for outcome in found[2:]] == [False, False]


@pytest.mark.parametrize(("total", "port"), [(1000, "large"), (999, "medium"), (100, "medium"), (0, "small")])
async def test_route_takes_the_first_case_that_fits(total: int, port: str) -> None:
    assert await run("route", ROUTE, {"total": total}) == [Emit({"total": total}, to=port)]


async def test_route_names_the_case_that_cannot_be_told() -> None:
    [failed] = await run("route", ROUTE, {})

    assert str(failed.error) == "stage 'price': route to 'large': field 'total' is not in the record"


async def test_pass_hands_records_on_unchanged() -> None:
    record = {"n": 1}

    [found] = await run("pass", None, record)

    assert found is record


@pytest.mark.parametrize("verb", ["map", "filter", "route"])
async def test_a_record_that_is_not_a_dict_fails_alone(verb: str) -> None:
    options = {"map": MAP, "filter": compile_expression("id"), "route": ROUTE}[verb]
    good = {"id": 1, "lines": [], "total": 1}

    found = await run(verb, options, [1, 2], good, None)

    assert [isinstance(outcome, Failure) for outcome in found] == [True, False, True]


async def test_call_is_built_from_the_handlers_name(tmp_path: Any) -> None:
    (tmp_path / "built_handlers.py").write_text(
        "from rsq_pipe.verbs import batch_handler\n"
        "def one(record): return {'n': record['n'] + 1}\n"
        "@batch_handler\n"
        "def many(records): return [{'n': record['n'] + 2} for record in records]\n"
    )
    for name, kind, n in (("one", Call, 2), ("many", BatchCall, 3)):
        ref = HandlerRef("built_handlers", name, f"built_handlers:{name}")
        assert await run("call", ref, {"n": 1}, root=tmp_path) == [{"n": n}]
        assert isinstance(build(stage(options=ref), root=tmp_path, pipeline="orders"), kind)


@pytest.mark.parametrize(
    ("module", "function", "said"),
    [
        (
            "built_handlers_gone",
            "one",
            "stage 'price' cannot call its handler: there is no module 'built_handlers_gone' in ",
        ),
        (
            "os.path",
            "jion",
            "stage 'price' cannot call its handler: 'jion' is not in module 'os.path'; did you mean 'join'",
        ),
    ],
)
def test_a_handler_that_is_not_there_is_an_error_that_names_the_stage(
    tmp_path: Any, module: str, function: str, said: str
) -> None:
    with pytest.raises(HandlerNotFoundError, match=said):
        build(
            stage(options=HandlerRef(module, function, f"{module}:{function}")),
            root=tmp_path,
            pipeline="orders",
        )


@pytest.mark.parametrize("verb", ["source", "sink"])
def test_connectors_are_not_built_here(verb: str, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="is a connector"):
        build(stage(verb=verb), root=tmp_path, pipeline="orders")


@pytest.mark.parametrize("verb", ["map", "filter", "route"])
async def test_the_time_of_a_record_is_that_of_its_entry_however_often_it_is_handled(verb: str) -> None:
    is_then = compile_expression("str(now()) == then")
    options: dict[str, Any] = {
        "map": {"ok": is_then},
        "filter": is_then,
        "route": (RouteCase("yes", is_then), RouteCase("no", None)),
    }
    records = [{"then": "2023-11-14T22:13:20.250000Z"}] * 2 + [{"then": "2023-11-14T22:13:21Z"}]
    deliveries = [Delivery("s", "1700000000250-7"), Delivery("s", "1700000001000-0")]
    of = Batch([dict(record) for record in records], ["a", "b", "c"], [0, 0, 1], deliveries)

    for _ in range(2):
        found = await build(stage("price", verb, options[verb]), root=Path(), pipeline="p").process(of)

        (port,) = found.emitted
        assert port in {"", "yes"}
        assert [record.get("ok", True) for record in found.emitted[port].records] == [True] * 3
        assert not found.failed


async def test_a_record_whose_entry_id_is_no_time_comes_when_it_is_read() -> None:
    of = Batch([{}, {}], ["a", "b"], [0, 1], [Delivery("s", "1-1"), Delivery("s", "9999999999999-0")])
    before = time.time()

    verb = build(
        stage("price", "map", {"at": compile_expression("timestamp(now())")}), root=Path(), pipeline="p"
    )
    records = (await verb.process(of)).emitted[""].records

    assert all(before <= record["at"] <= time.time() for record in records)


async def test_a_source_has_one_time_for_a_batch() -> None:
    found = await run("map", {"at": compile_expression("now()")}, *({} for _ in range(1_000)))

    assert len({record["at"] for record in found}) == 1


@pytest.mark.parametrize("verb", ["map", "filter", "route"])
async def test_the_id_and_headers_of_a_record_are_those_beside_it(verb: str) -> None:
    is_its_own = compile_expression("[rid(), header('tenant'), header('x', '-')] == own", headed=True)
    options: dict[str, Any] = {
        "map": {"ok": is_its_own},
        "filter": is_its_own,
        "route": (RouteCase("yes", is_its_own), RouteCase("no", None)),
    }
    records = [{"own": ["a", None, "-"]}, {"own": ["b", "eu", "-"]}]
    of = Batch(records, ["a", "b"], headers={1: {"tenant": "eu"}})

    found = await build(stage("price", verb, options[verb]), root=Path(), pipeline="p").process(of)

    (port,) = found.emitted
    assert port in {"", "yes"}
    assert [record.get("ok", True) for record in found.emitted[port].records] == [True] * 2


async def test_no_id_or_header_is_left_behind_by_a_batch() -> None:
    of = Batch([{}], ["a"], headers={0: {"tenant": "eu"}})
    id_ = compile_expression("[rid(), header('tenant')]", headed=True)

    await build(stage("price", "map", {"id": id_}), root=Path(), pipeline="p").process(of)

    assert id_.evaluate({}) == [None, None]
