"""A stage that is given up is exported before it is taken away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.errors import UnknownStageError
from rsq_pipe.ops.discard import discard
from rsq_pipe.ops.hold import pause
from tests.integration.engine.lab import READ, Lab
from tests.integration.engine.leftovers import CHAIN, PATIENT, leave

WITHOUT = f"""
    {READ}
    add: {{map: {{k: "n + 1"}}}}
    out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
"""


async def test_all_a_stage_holds_is_exported_and_taken_away(lab: Lab, tmp_path: Path) -> None:
    await leave(lab)
    lab.spec(WITHOUT, defaults=PATIENT)

    gone = await discard(lab.client, lab.graph, "slow", tmp_path / "slow.jsonl")

    lines = [json.loads(line) for line in gone.file.read_text().splitlines()]
    held: dict[str, list[int]] = {}
    for line in lines:
        held.setdefault(line["where"], []).append(line["payload"]["n"])
    assert held["pending"] == [20, 21, 22, 23, 24]
    assert held["waiting"] == list(range(25, 40))
    assert sorted(held["retry"]) == [0, 10]
    assert held["dead"] == [1, 11]
    assert gone.exported == 24
    assert not (await plan(lab.client, lab.graph)).stranded


async def test_a_stage_that_is_discarded_and_comes_back_is_not_paused(lab: Lab, tmp_path: Path) -> None:
    await leave(lab)
    await pause(lab.client, lab.graph, "slow", "its service is moved")
    lab.spec(WITHOUT, defaults=PATIENT)

    await discard(lab.client, lab.graph, "slow", tmp_path / "slow.jsonl")

    assert not [field for field in await lab.redis("HKEYS", lab.key("meta")) if b"paused:slow:h" in field]


async def test_a_run_after_a_discard_does_the_rest_once(lab: Lab, tmp_path: Path) -> None:
    await leave(lab)
    lab.spec(WITHOUT, defaults=PATIENT)
    await discard(lab.client, lab.graph, "slow", tmp_path / "slow.jsonl")
    lab.records(range(40, 45))

    summary = await lab.run()

    assert lab.numbers("out/all.jsonl") == [n for n in (*range(20), *range(40, 45)) if n % 10 > 1 or n >= 40]
    assert summary.stages["add"].received == 5


async def test_the_same_discard_again_has_nothing_to_do(lab: Lab, tmp_path: Path) -> None:
    await leave(lab)
    lab.spec(WITHOUT, defaults=PATIENT)
    await discard(lab.client, lab.graph, "slow", tmp_path / "slow.jsonl")

    again = await discard(lab.client, lab.graph, "slow", tmp_path / "again.jsonl")

    assert again.exported == 0
    assert not again.file.exists()


async def test_a_stage_that_no_run_had_is_not_discarded(lab: Lab, tmp_path: Path) -> None:
    await leave(lab)
    lab.spec(WITHOUT, defaults=PATIENT)

    with pytest.raises(UnknownStageError, match=r"never ran with a stage 'slwo'; did you mean 'slow'\?"):
        await discard(lab.client, lab.graph, "slwo", tmp_path / "slwo.jsonl")
    with pytest.raises(UnknownStageError, match=r"never ran with a stage 'elsewhere'; use slow"):
        await discard(lab.client, lab.graph, "elsewhere", tmp_path / "elsewhere.jsonl")


@pytest.mark.parametrize("gone", ["read", "slow", "add"])
async def test_a_stage_that_was_discarded_before_the_last_run_may_be_named_again(
    lab: Lab, tmp_path: Path, gone: str
) -> None:
    lab.handlers("def slow(record): return record")
    lab.records(range(5))
    lab.spec(CHAIN)
    await lab.run()
    lab.spec(CHAIN.replace(f"{gone}:", "other:", 1))
    await discard(lab.client, lab.graph, gone, tmp_path / "first.jsonl")
    await lab.run()

    again = await discard(lab.client, lab.graph, gone, tmp_path / "again.jsonl")

    assert again.exported == 0


async def test_where_the_export_cannot_be_written_nothing_is_taken_away(lab: Lab, tmp_path: Path) -> None:
    await leave(lab)
    lab.spec(WITHOUT, defaults=PATIENT)

    with pytest.raises(FileNotFoundError):
        await discard(lab.client, lab.graph, "slow", tmp_path / "nowhere" / "slow.jsonl")

    found = next(change for change in (await plan(lab.client, lab.graph)).stages if change.stage == "slow")
    assert str(found.holds) == "15 waiting, 5 pending, 2 to be retried, 2 dead letters"


async def test_a_stage_that_is_in_the_file_is_not_discarded(lab: Lab, tmp_path: Path) -> None:
    await leave(lab)
    lab.spec(CHAIN, defaults=PATIENT)

    with pytest.raises(UnknownStageError, match="still has the stage 'slow'"):
        await discard(lab.client, lab.graph, "slow", tmp_path / "slow.jsonl")


async def test_a_discarded_source_is_read_from_its_beginning_under_its_new_name(
    lab: Lab, tmp_path: Path
) -> None:
    lab.handlers("def slow(record): return record")
    lab.records(range(5))
    lab.spec(CHAIN)
    await lab.run()
    lab.spec(CHAIN.replace("read:", "load:", 1))

    await discard(lab.client, lab.graph, "read", tmp_path / "read.jsonl")

    assert (await lab.run()).stages["load"].emitted == 5
