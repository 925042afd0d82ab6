"""Dead letters of windows that are closed are not sent into the void."""

from __future__ import annotations

import pytest

from rsq_pipe.errors import ReplayError
from rsq_pipe.ops.as_run import as_run
from rsq_pipe.ops.dead_letters.dead_letters import find
from rsq_pipe.ops.dead_letters.edits import Edits
from rsq_pipe.ops.dead_letters.progress import Progress
from rsq_pipe.ops.dead_letters.replay import preview_replay, replay
from rsq_pipe.ops.dead_letters.selection import Selection
from tests.integration.engine.lab import READ, Lab

OUT = "out: {from: counted, sink: {type: jsonl, path: out/all.jsonl}}"
LATE = "late: {from: counted.late, sink: {type: jsonl, path: out/late.jsonl}}"
EVERY = "every: 10s"
OVER = "every: 10s, over: 20s"
SESSIONS = "gap: 10s"
NEITHER = ""


def counted(windows: str, *more: str) -> str:
    by = ", ".join(part for part in ("by: [key]", windows, "on: n" if windows else "") if part)
    return "\n".join(
        (
            READ,
            f"counted: {{aggregate: {{{by}, compute: {{many: count(), all: sum(amount)}}}}}}",
            OUT,
            *more,
        )
    )


async def ran(lab: Lab, stages: str) -> None:
    """A run that ended, and so closed its windows, with one dead letter at 3 seconds."""
    lab.spec(stages)
    lab.records([1, 3, 5], key="a", amount=1)
    lines = (lab.root / "in.jsonl").read_text().replace('"n": 3, "key": "a", "amount": 1', BAD)
    (lab.root / "in.jsonl").write_text(lines)
    summary = await lab.run()
    assert summary.dead == 1


BAD = '"n": 3, "key": "a", "amount": "x"'


async def replayed(lab: Lab, **fields: object) -> int:
    """Replay all dead letters, and run: how many were moved."""
    found = await find(lab.client, lab.pipeline, lab.graph, Selection())
    edits = Edits.of([], {"amount": 1, **fields})
    await preview_replay(found, edits)
    progress = Progress()
    await replay(found, edits, progress)
    await lab.run()
    return progress.total.removed


@pytest.mark.parametrize("windows", [EVERY, OVER, SESSIONS])
async def test_a_dead_letter_whose_windows_are_closed_stays_where_it_is(lab: Lab, windows: str) -> None:
    await ran(lab, counted(windows))

    with pytest.raises(ReplayError) as refused:
        await replayed(lab)

    assert "windows of 1970-01-01T00:00:03Z are closed, and nobody reads `counted.late`" in str(refused.value)
    assert "--fresh" in str(refused.value)
    assert len(await lab.dead_letters("counted")) == 1


async def test_where_only_what_the_run_left_is_known_as_on_the_page_it_stays_too(lab: Lab) -> None:
    await ran(lab, counted(EVERY))
    graph = (await as_run(lab.client, lab.pipeline)).graph
    found = await find(lab.client, lab.pipeline, graph, Selection())

    with pytest.raises(ReplayError, match=r"nobody reads `counted\.late`"):
        await preview_replay(found, Edits.of([], {"amount": 1}))


async def test_one_that_gets_a_time_of_an_open_window_goes_back(lab: Lab) -> None:
    await ran(lab, counted(EVERY))

    assert await replayed(lab, n=23) == 1
    assert [line["all"] for line in lab.lines("out/all.jsonl")] == [2, 1]


async def test_one_without_a_time_goes_back_and_fails_again(lab: Lab) -> None:
    await ran(lab, counted(EVERY))

    assert await replayed(lab, n="soon") == 1
    assert len(await lab.dead_letters("counted")) == 1


async def test_where_late_records_are_read_it_goes_there(lab: Lab) -> None:
    await ran(lab, counted(EVERY, LATE))

    assert await replayed(lab) == 1
    assert [line["n"] for line in lab.lines("out/late.jsonl")] == [3]


async def test_without_windows_it_goes_back_and_has_a_result_of_its_own(lab: Lab) -> None:
    await ran(lab, counted(NEITHER))

    assert await replayed(lab) == 1
    assert [line["all"] for line in lab.lines("out/all.jsonl")] == [2, 1]


async def test_what_can_go_back_goes_and_the_others_are_named(lab: Lab) -> None:
    await ran(lab, counted(EVERY))
    lab.records([33], key="a", amount="x")
    await lab.run(limit=1)  # does not close the window that it opens
    found = await find(lab.client, lab.pipeline, lab.graph, Selection())
    edits = Edits.of([], {"amount": 1})

    planned = await preview_replay(found, edits)
    await replay(found, edits, Progress())

    assert (planned.count, [left.count for left in planned.left]) == (1, [1])
    assert [letter["rsq-rid"] for letter in await lab.dead_letters("counted")] == ["read:in.jsonl:2"]
