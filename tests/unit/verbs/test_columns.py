"""Verbs that only compute: the columns that go on, and what the verbs say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Emitted, Outcomes
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.graph import HandlerRef, RouteCase
from rsq_pipe.spec.share import Share
from rsq_pipe.spec.stages.field_rule import parse_rule
from rsq_pipe.spec.stages.record_check import FieldsCheck
from rsq_pipe.spec.stages.select import Selection
from rsq_pipe.verbs.batch_call import BatchCall
from rsq_pipe.verbs.build import build
from rsq_pipe.verbs.verb import Verb
from tests.unit.verbs.given import One, batch_of, each, numbered, one, stage

POSITIVE = compile_expression("n > 0")
OPTIONS: dict[str, Any] = {
    "map": {"n": compile_expression("n + 1"), "old": None},
    "filter": POSITIVE,
    "route": (RouteCase("up", POSITIVE), RouteCase("down", None)),
    "select": Selection(rename=((("n",), ("n",)),)),
    "sample": Share("100%", 1.0),
    "validate": FieldsCheck({"n": parse_rule("int")}),
    "pass": None,
}


def verb(name: str) -> Verb:
    return build(stage("price", name, OPTIONS[name]), root=Path(), pipeline="orders")


async def processed(name: str, given: Batch) -> Outcomes:
    found = await verb(name).process(given)
    each(given, found)  # checks that each record ends in one way
    return found


async def sent(name: str, given: Batch) -> Emitted:
    (emitted,) = (await processed(name, given)).emitted.values()
    return emitted


@pytest.mark.parametrize("name", OPTIONS)
async def test_a_batch_that_goes_on_whole_shares_its_columns(name: str) -> None:
    given = numbered(4).only([1, 2, 3])

    emitted = await sent(name, given)

    assert emitted.rids is given.rids
    assert list(emitted.sources) == [0, 1, 2]
    assert emitted.headers == {}
    assert (emitted.records is given.records) == (name not in {"map", "select", "validate"})


@pytest.mark.parametrize("name", OPTIONS)
async def test_records_go_on_with_the_headers_of_the_user_and_of_the_trace(name: str) -> None:
    given = batch_of(
        one({"n": 1}),
        One({"n": 2}, "read:1", 1, {"traceparent": "00-a-b-01", "rsq-replay-link": "x"}),
        One({"n": 3}, "read:2", headers={"rsq-dlq-reason": "timeout"}),
        one({"n": 4}, "read:3", currency="EUR"),
    )
    before = {place: dict(some) for place, some in given.headers.items()}

    emitted = await sent(name, given)

    assert emitted.headers == {1: {"traceparent": "00-a-b-01"}, 3: {"currency": "EUR"}}
    assert given.headers == before


async def test_headers_go_with_the_records_that_are_left_by_a_filter_and_by_a_failure() -> None:
    ones = [one({"n": n}, f"read:{place}", k=str(place)) for place, n in enumerate([0, 1, "x", 2])]
    given = batch_of(*ones, one({"n": 3}, "read:4"))

    kept, mapped = await sent("filter", given), await sent("map", given)

    assert (kept.rids, list(kept.sources)) == (["read:1", "read:3", "read:4"], [1, 3, 4])
    assert kept.headers == {0: {"k": "1"}, 1: {"k": "3"}}
    assert (mapped.rids, list(mapped.sources)) == (["read:0", "read:1", "read:3", "read:4"], [0, 1, 3, 4])
    assert mapped.records == [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]
    assert mapped.headers == {0: {"k": "0"}, 1: {"k": "1"}, 2: {"k": "3"}}


async def test_each_port_of_a_route_has_columns_of_its_own() -> None:
    ones = [one({"n": n}, f"read:{place}", k=str(n)) for place, n in enumerate([1, 0, 2, "x"])]

    found = await processed("route", batch_of(*ones))

    up, down = found.emitted["up"], found.emitted["down"]
    assert (up.rids, list(up.sources), up.headers) == (
        ["read:0", "read:2"],
        [0, 2],
        {0: {"k": "1"}, 1: {"k": "2"}},
    )
    assert (down.rids, list(down.sources), down.headers) == (["read:1"], [1], {0: {"k": "0"}})
    assert list(found.failed) == [3]


async def test_a_route_without_a_case_that_fits_fails_the_record() -> None:
    bare = build(stage("price", "route", (RouteCase("up", POSITIVE),)), root=Path(), pipeline="orders")

    found = await bare.process(numbered(2))

    assert [str(failed.error) for failed in found.failed.values()] == [  # type: ignore[union-attr]
        "stage 'price': no case of the route fits; add `otherwise: true`"
    ]


@pytest.mark.parametrize("name", OPTIONS)
async def test_a_batch_of_which_nothing_goes_on_has_no_columns(name: str) -> None:
    assert await processed(name, Batch([], [])) == Outcomes()
    if name not in {"pass", "select", "sample"}:  # which take a text as well
        assert (await processed(name, batch_of(one({}), one({"n": "x"})))).emitted == {}


async def test_a_map_that_only_removes_fails_what_is_no_record() -> None:
    removing = build(stage("price", "map", {"old": None}), root=Path(), pipeline="orders")

    found = await removing.process(batch_of(one({"old": 1, "n": 1}), one([1], "read:1")))

    assert (found.emitted[""].records, list(found.failed)) == ([{"n": 1}], [1])


def test_verbs_say_whether_they_are_pure_and_which_fields_they_may_change(tmp_path: Path) -> None:
    (tmp_path / "columns_handlers.py").write_text(
        "from rsq_pipe.verbs import batch_handler\n"
        "def one(record): return record\n"
        "@batch_handler\n"
        "def many(records): return records\n"
    )
    said = {name: (verb(name).pure, verb(name).changed) for name in OPTIONS}
    for name in ("one", "many"):
        ref = HandlerRef("columns_handlers", name, f"columns_handlers:{name}")
        built = build(stage(options=ref), root=tmp_path, pipeline="orders")
        said[name] = built.pure, built.changed
        assert isinstance(built, BatchCall) == (name == "many")

    assert said == {
        "map": (True, {"n", "old"}),
        "filter": (True, frozenset()),
        "route": (True, frozenset()),
        "select": (True, frozenset()),
        "sample": (True, frozenset()),
        "validate": (True, {"n"}),
        "pass": (True, frozenset()),
        "one": (False, None),
        "many": (False, None),
    }
