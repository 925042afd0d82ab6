"""explode: a record of each item of a list, with what goes with it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.model.outcome import MAX_CHILDREN, Drop, Emitted, Failure
from rsq_pipe.spec.loader import load
from rsq_pipe.spec.stages.explode import Explosion
from rsq_pipe.testing import run_stage
from rsq_pipe.verbs.explode import Explode
from tests.support.project import Project
from tests.unit.verbs.given import batch, batch_of, each, one

ORDER = {"id": 7, "lines": ["tea", "jam"], "customer": {"name": "ada", "tags": [1, 2]}}
NO_ITEMS = Drop("no items")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project", "orders")


@pytest.fixture
def explosion(project: Project) -> Any:
    """What a stage's `explode` says."""

    def read(text: str) -> Explosion:
        stages = f"read: {{source: {{type: jsonl, path: in.jsonl}}}}\nwork: {{explode: {text}}}\n"
        found = load(project.spec(stages + "out: {sink: {type: stdout}}")).stage("work").options
        assert isinstance(found, Explosion)
        return found

    return read


async def exploded(of: Explosion, *records: Any) -> list[Any]:
    given = batch(*records)
    before = copy.deepcopy(given.records)
    found = each(given, await Explode("work", of).process(given))
    assert given.records == before
    return found


ADA = ORDER["customer"]


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("lines", [{"id": 7, "lines": "tea", "customer": ADA}, {"id": 7, "lines": "jam", "customer": ADA}]),
        (
            "{field: lines, as: line}",
            [{"id": 7, "line": "tea", "customer": ADA}, {"id": 7, "line": "jam", "customer": ADA}],
        ),
        (
            "{field: lines, as: line, index: n, keep: [customer.name, id]}",
            [
                {"customer": {"name": "ada"}, "id": 7, "line": "tea", "n": 0},
                {"customer": {"name": "ada"}, "id": 7, "line": "jam", "n": 1},
            ],
        ),
        ("{field: lines, index: n, keep: []}", [{"lines": "tea", "n": 0}, {"lines": "jam", "n": 1}]),
        (
            "{field: lines, as: line, index: lines, keep: [id]}",
            [{"id": 7, "line": "tea", "lines": 0}, {"id": 7, "line": "jam", "lines": 1}],
        ),
        (
            "{field: customer.tags, as: tag, index: n}",
            [
                {"id": 7, "lines": ["tea", "jam"], "customer": {"name": "ada"}, "tag": 1, "n": 0},
                {"id": 7, "lines": ["tea", "jam"], "customer": {"name": "ada"}, "tag": 2, "n": 1},
            ],
        ),
    ],
)
async def test_each_item_becomes_a_record(explosion: Any, text: str, records: list[Any]) -> None:
    (found,) = await exploded(explosion(text), ORDER)

    assert found == records
    assert repr(found) == repr(records)


async def test_children_have_ids_and_headers_of_the_record_they_were_made_of() -> None:
    given = batch_of(
        one({"id": 1, "lines": [1, 2]}, "read:1", currency="EUR"),
        one({"id": 2, "lines": []}, "read:2"),
        one({"id": 3}, "read:3"),
        one({"id": 4, "lines": [5]}, "read:4", traceparent="00-a-b-01"),
    )

    found = await Explode("work", Explosion(("lines",), "lines")).process(given)

    assert found.emitted[""] == Emitted(
        [{"id": 1, "lines": 1}, {"id": 1, "lines": 2}, {"id": 4, "lines": 5}],
        ["read:1.0", "read:1.1", "read:4.0"],
        [0, 0, 3],
        {0: {"currency": "EUR"}, 1: {"currency": "EUR"}, 2: {"traceparent": "00-a-b-01"}},
    )
    assert found.dropped == {"no items": [1]}
    assert list(found.failed) == [2]


async def test_a_record_without_items_is_dropped_or_goes_on_once(explosion: Any) -> None:
    empty, null = {"id": 1, "lines": []}, {"id": 2, "lines": None}

    assert await exploded(explosion("lines"), empty, null) == [NO_ITEMS, NO_ITEMS]
    assert await exploded(explosion("{field: lines, as: line, index: n, empty: keep}"), empty, null) == [
        [{"id": 1, "line": None, "n": None}],
        [{"id": 2, "line": None, "n": None}],
    ]


@pytest.mark.parametrize(
    ("text", "record", "why"),
    [
        ("lines", {"id": 1}, "field 'lines' is not in the record"),
        ("lines", {"lines": "tea"}, "field 'lines' is not a list"),
        ("lines", {"lines": {"a": 1}}, "field 'lines' is not a list"),
        ("{field: order.lines, as: line}", {"order": 1}, "field 'order.lines' is not in the record"),
        ("{field: lines, keep: [id]}", {"lines": [1]}, "field 'id' is not in the record"),
        (
            "{field: lines, as: line}",
            {"lines": [1], "line": 2},
            "field 'line' is in the record already; drop it, or rename it, too",
        ),
        (
            "{field: lines, index: n}",
            {"lines": [1], "n": 2},
            "field 'n' is in the record already; drop it, or rename it, too",
        ),
        (
            "{field: a.lines, as: line, index: n}",
            {"a": {"lines": [1]}, "n": 2},
            "field 'n' is in the record already; drop it, or rename it, too",
        ),
        (
            "lines",
            {"lines": [0] * (MAX_CHILDREN + 1)},
            "field 'lines' has 10,001 items; the bound is 10,000, since their records are written at once",
        ),
    ],
)
async def test_a_record_that_cannot_be_split_fails_alone(
    explosion: Any, text: str, record: dict[str, Any], why: str
) -> None:
    whole = {"id": 1, "lines": [1], "order": {"lines": [1]}, "a": {"lines": [1]}}

    failed, split = await exploded(explosion(text), record, whole)

    assert isinstance(failed, Failure)
    assert not failed.retryable
    assert str(failed.error) == f"stage 'work': explode: {why}"
    assert len(split) == 1


async def test_children_share_no_list_and_no_mapping_with_each_other(explosion: Any) -> None:
    for text in ("lines", "{field: lines, as: line, index: n, keep: [lines, customer]}"):
        ((first, second),) = await exploded(explosion(text), ORDER)

        first["customer"]["tags"].append(3)
        if "as" in text:
            first["lines"].clear()

        assert second["customer"] == ADA
        assert second.get("lines") in ("jam", ORDER["lines"])


async def test_what_is_no_record_fails(explosion: Any) -> None:
    (failed,) = await exploded(explosion("lines"), [1])

    assert isinstance(failed, Failure)


def test_explode_is_pure_and_makes_no_value_but_the_number() -> None:
    counted = Explode("work", Explosion(("lines",), "line", "n"))

    assert (counted.pure, counted.changed) == (True, frozenset(("n",)))
    assert Explode("work", Explosion(("lines",), "line")).changed == frozenset()


def test_run_stage_explodes_records(project: Project) -> None:
    stages = """
    read: {source: {type: jsonl, path: in.jsonl}}
    work: {explode: {field: lines, as: line, keep: [id]}}
    out: {sink: {type: stdout}}
    """
    empty, wrong = {"id": 8, "lines": []}, {"id": 9}

    run = run_stage(project.spec(stages), "work", [ORDER, empty, wrong])

    assert run.records == [{"id": 7, "line": "tea"}, {"id": 7, "line": "jam"}]
    assert run.dropped == [empty]
    assert [(dead.record, dead.reason) for dead in run.dead] == [(wrong, "expression_error")]
