"""sample: which records go on hangs on their ids, and their number on the share."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.share import parse_share
from rsq_pipe.testing import run_stage
from rsq_pipe.verbs.sample import Sample
from tests.support.project import Project
from tests.unit.verbs.given import batch_of, each, numbered, one


async def sampled(share: str, of: Batch, stage: str = "try") -> list[str]:
    """The ids of the records that go on."""
    found = await Sample(stage, parse_share(share)).process(of)
    each(of, found)  # checks that each record ends in one way
    assert set(found.dropped) <= {"sample"}
    return [*found.emitted[""].rids] if found.emitted else []


@pytest.mark.parametrize(
    ("share", "expected"), [("0.5%", 100), ("1%", 200), ("10%", 2_000), ("50 %", 10_000)]
)
async def test_about_as_many_go_on_as_the_share_says(share: str, expected: int) -> None:
    count = len(await sampled(share, numbered(20_000)))

    assert abs(count - expected) < 4 * expected**0.5


async def test_all_go_on_at_a_hundred_percent_and_next_to_none_at_next_to_nothing() -> None:
    assert len(await sampled("100%", numbered(5_000))) == 5_000
    assert await sampled("0.0000000000000000000000001%", numbered(5_000)) == []


async def test_a_record_is_chosen_however_and_whenever_it_comes() -> None:
    given = numbered(1_000)
    chosen = await sampled("10%", given)

    again = batch_of(*(one({"other": 1}, rid, attempts=2, k="v") for rid in reversed(given.rids)))
    alone = [rid for rid in given.rids if await sampled("10%", batch_of(one({}, rid)))]

    assert sorted(await sampled("10%", again)) == sorted(chosen)
    assert alone == chosen


async def test_a_larger_share_holds_the_smaller_one() -> None:
    assert set(await sampled("1%", numbered(2_000))) < set(await sampled("10%", numbered(2_000)))


async def test_two_stages_choose_apart_from_each_other() -> None:
    given = numbered(20_000)
    first, second = await sampled("10%", given, "first"), await sampled("10%", given, "second")

    assert abs(len({*first} & {*second}) - 200) < 60


async def test_an_id_from_outside_may_hold_anything() -> None:
    given = batch_of(one({}, "\ud800"), one({}, ""))

    assert await sampled("100%", given) == ["\ud800", ""]


def test_run_stage_samples_records(tmp_path: Path) -> None:
    stages = """
    read: {source: {type: jsonl, path: in.jsonl}}
    try: {sample: 20%}
    out: {sink: {type: stdout}}
    """
    given = [{"n": n} for n in range(100)]
    spec = Project(tmp_path / "project", "orders").spec(stages)

    run = run_stage(spec, "try", given)

    assert 5 < len(run.records) < 40
    assert sorted(record["n"] for record in run.records + run.dropped) == list(range(100))
    assert run_stage(spec, "try", given, attempt=2).records == run.records
