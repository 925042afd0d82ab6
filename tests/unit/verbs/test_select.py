"""select: which fields of a record go on, in which order and under which names."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.errors import MissingFieldError
from rsq_pipe.model.outcome import Failure
from rsq_pipe.spec.expressions.field_path import clash, parse_path
from rsq_pipe.spec.loader import load
from rsq_pipe.spec.stages.select import Selection
from rsq_pipe.testing import run_stage
from rsq_pipe.verbs.select import Select
from tests.support.project import Project
from tests.unit.verbs.given import batch, each

ORDER = {"id": 1, "customer": {"name": "ada", "card": {"number": "4111", "due": 7}}, "total": 9.5}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project", "orders")


@pytest.fixture
def selection(project: Project) -> Any:
    """What a stage's `select` says."""

    def read(text: str) -> Selection:
        stages = f"read: {{source: {{type: jsonl, path: in.jsonl}}}}\nwork: {{select: {text}}}\n"
        graph = load(project.spec(stages + "out: {sink: {type: stdout}}"))
        found = graph.stage("work").options
        assert isinstance(found, Selection)
        return found

    return read


async def selected(of: Selection, *records: Any) -> list[Any]:
    given = batch(*records)
    before = copy.deepcopy(given.records)
    found = each(given, await Select("work", of).process(given))
    assert given.records == before
    return found


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("[total, id]", {"total": 9.5, "id": 1}),
        ("[customer.name, id]", {"customer": {"name": "ada"}, "id": 1}),
        (
            "[customer.card.due, id, customer.name]",
            {"customer": {"card": {"due": 7}, "name": "ada"}, "id": 1},
        ),
        ("{keep: [id, customer.name], rename: {customer.name: name}}", {"id": 1, "name": "ada"}),
        ("{keep: [total, id], rename: {id: order.id}}", {"total": 9.5, "order": {"id": 1}}),
        ("{keep: [id, none, customer.none.name], missing: ignore}", {"id": 1}),
        ("{keep: [customer.none, customer.name], missing: ignore}", {"customer": {"name": "ada"}}),
        ("{drop: [customer, total]}", {"id": 1}),
        ("{drop: [customer.card, total]}", {"id": 1, "customer": {"name": "ada"}}),
        ("{drop: [none, total, customer, id.name], missing: ignore}", {"id": 1}),
        ("{rename: {id: number}}", {"number": 1, "customer": ORDER["customer"], "total": 9.5}),
        ("{rename: {id: total, total: id}}", {"total": 1, "customer": ORDER["customer"], "id": 9.5}),
        ("{drop: [id], rename: {total: id}}", {"customer": ORDER["customer"], "id": 9.5}),
        ("{rename: {id: id}}", ORDER),
        (
            "{drop: [customer.card], rename: {customer.name: customer.called}}",
            {"id": 1, "customer": {"called": "ada"}, "total": 9.5},
        ),
        (
            "{drop: [customer.card], rename: {customer.name: name, total: sum.net}}",
            {"id": 1, "customer": {}, "name": "ada", "sum": {"net": 9.5}},
        ),
        (
            "{drop: [customer.card], rename: {total: customer.total, n: x, customer.n: y}, missing: ignore}",
            {"id": 1, "customer": {"name": "ada", "total": 9.5}},
        ),
    ],
)
async def test_fields_go_on_in_their_order(selection: Any, text: str, record: dict[str, Any]) -> None:
    # The second has its fields in another order: no function made for the first one's shape fits it.
    found = await selected(selection(text), ORDER, dict(reversed(ORDER.items())))

    assert found[0] == record
    assert repr(found[0]) == repr(record)
    assert found[1] == record


async def test_a_dot_in_a_name_is_written_with_a_backslash(selection: Any) -> None:
    of = selection(r"{keep: [a\.b], rename: {a\.b: c\.d}}")

    assert await selected(of, {"a.b": 1, "a": {"b": 2}}) == [{"c.d": 1}]
    assert of.text == r"a\.b -> c\.d"


@pytest.mark.parametrize(
    "name",
    ["']", '"', "}", "\\", "\n", "\u2028", "\0", "{record}", "'+str(1)+'", "#", "ä", "\U0001f600"],
)
async def test_a_name_is_never_read_as_code(name: str) -> None:
    of = Selection((((name,), (name, "in")), (("id", name), ("id",))))

    assert await selected(of, {name: 1, "id": {name: 2}}) == [{name: {"in": 1}, "id": 2}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[id, nme]", "field 'nme' is not in the record"),
        ("[id, customer.none]", "field 'customer.none' is not in the record"),
        ("[id, total.net]", "field 'total.net' is not in the record"),
        ("{drop: [id, nme]}", "field 'nme' is not in the record"),
        ("{drop: [id.name]}", "field 'id.name' is not in the record"),
        ("{rename: {nme: name}}", "field 'nme' is not in the record"),
        ("{rename: {customer.none: customer.name}}", "field 'customer.none' is not in the record"),
        (
            "{rename: {id: total}}",
            "field 'total' is in the record already; drop it, or rename it, too",
        ),
        (
            "{rename: {id: total}, missing: ignore}",
            "field 'total' is in the record already; drop it, or rename it, too",
        ),
        (
            "{rename: {id: customer.name}}",
            "field 'customer.name' is in the record already; drop it, or rename it, too",
        ),
        ("{rename: {id: total.id}}", "field 'total' is not a mapping, so it can hold no field"),
    ],
)
async def test_a_record_that_cannot_be_shaped_fails_alone(selection: Any, text: str, why: str) -> None:
    of = selection(text)
    whole = {"id": 1, "nme": 2} | ({} if "total" in text or "customer" in text else {"total": 1})

    failed, *_ = await selected(of, ORDER, whole)

    assert isinstance(failed, Failure)
    assert not failed.retryable
    assert str(failed.error) == f"stage 'work': select: {why}"
    assert isinstance(failed.error, MissingFieldError) == ("not in" in why)


async def test_neighbours_of_a_record_without_a_field_go_on(selection: Any) -> None:
    for text in ("[id, total]", "{drop: [total]}", "{rename: {total: sum}}"):
        first, failed, last = await selected(selection(text), ORDER, {"id": 2}, ORDER)

        assert isinstance(failed, Failure)
        assert first == last
        assert not isinstance(first, Failure)


async def test_what_is_no_record_fails(selection: Any) -> None:
    for text in ("[id]", "{drop: [id]}", "{rename: {id: n}}"):
        (failed,) = await selected(selection(text), [1])
        assert isinstance(failed, Failure)


@pytest.mark.parametrize("seed", range(40))
async def test_a_batch_is_shaped_as_each_of_its_records(seed: int) -> None:
    draw = random.Random(seed)
    names = [parse_path(text) for text in ("a", "b", "c", "d.a", "d.b", "e")]
    for _ in range(30):
        sources, targets = draw.sample(names, 3), draw.sample(names, 3)
        if clash(targets) or clash(sources):
            continue
        pairs = tuple(zip(sources, targets, strict=True))
        ignore = draw.random() < 0.5
        of = draw.choice(
            [
                Selection(pairs, ignore=ignore),
                Selection(drop=tuple(sources), ignore=ignore),
                Selection(drop=tuple(sources[:1]), rename=pairs[1:], ignore=ignore),
            ]
        )
        records = [_record(draw) for _ in range(draw.choice([1, 5]))] * draw.choice([1, 2])

        together = await selected(of, *records)

        alone = [(await selected(of, record))[0] for record in records]
        assert list(map(str, together)) == list(map(str, alone))


def _record(draw: random.Random) -> dict[str, Any]:
    held: dict[str, Any] = {name: n for n, name in enumerate("abce") if draw.random() < 0.9}
    if draw.random() < 0.9:
        held["d"] = {name: name for name in "ab" if draw.random() < 0.9}
    items = list(held.items())
    if draw.random() < 0.3:
        draw.shuffle(items)
    return dict(items)


def test_run_stage_shapes_records(project: Project) -> None:
    stages = """
    read: {source: {type: jsonl, path: in.jsonl}}
    work: {select: {keep: [id, customer.name], rename: {customer.name: name}}}
    out: {sink: {type: stdout}}
    """

    run = run_stage(project.spec(stages), "work", [ORDER, {"id": 2}])

    assert run.records == [{"id": 1, "name": "ada"}]
    (dead,) = run.dead
    assert (dead.record, dead.reason) == ({"id": 2}, "expression_error")
    assert dead.error.endswith("stage 'work': select: field 'customer.name' is not in the record")


async def test_a_field_may_move_out_of_a_mapping_that_is_dropped(selection: Any) -> None:
    of = selection("{drop: [customer, lines], rename: {customer.name: name}, missing: ignore}")

    assert await selected(of, {"id": 1, "customer": {"name": "ada", "card": 4}}) == [{"id": 1, "name": "ada"}]


async def test_a_mapping_stays_where_all_its_fields_have_moved(selection: Any) -> None:
    of = selection("{rename: {customer.name: name}}")

    assert await selected(of, {"id": 1, "customer": {"name": "ada"}}) == [
        {"id": 1, "customer": {}, "name": "ada"}
    ]
