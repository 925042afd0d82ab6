"""What a stage remembers is shown, goes where its stage goes, and is never left behind in silence."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rsq_pipe.cli.trace import command as trace
from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.engine.changes.choices import refusal
from rsq_pipe.engine.state.state_keys import state_keys
from rsq_pipe.errors import UnknownStageError
from rsq_pipe.ops.discard import discard
from rsq_pipe.ops.prune import prune
from rsq_pipe.ops.remembered import Found, read_remembered
from rsq_pipe.ops.rename import rename
from rsq_pipe.ops.status import read_status as status
from tests.integration.engine.lab import READ, Lab

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
ONCE = f"{READ}\nonce: {{dedupe: {{key: key, within: 1h}}}}\n{OUT}"
COUNTED = (
    f"{READ}\ncounted: {{aggregate: {{by: [key], every: 10s, on: n, compute: {{many: count()}}}}}}\n{OUT}"
)
MAPPED = f"{READ}\nmapped: {{map: {{m: n}}}}\n{OUT}"


async def ran(lab: Lab, stages: str = ONCE) -> None:
    """A run that has let the keys a, b and c through."""
    lab.spec(stages)
    for n, key in enumerate("abcab"):
        lab.records([n], key=key)
    await lab.run()


async def open_windows(lab: Lab, stages: str = COUNTED) -> None:
    """A run that left windows open, since its limit was reached before the source ended."""
    lab.spec(stages)
    for n, key in enumerate("abcab"):
        lab.records([n], key=key)
    await lab.run(limit=5)


async def test_keys_parts_and_one_key_are_shown(lab: Lab) -> None:
    await ran(lab)

    found = await read_remembered(lab.client, lab.graph, lab.graph.stage("once"), '"a"')

    ((part, keys),) = [(bucket.name, bucket.keys) for bucket in found.buckets]
    assert (found.keys, found.max_keys, found.evicted, part, keys) == (3, 1_000_000, 0, "1", 3)
    assert found.scalars["newest"] == "1"
    assert found.found == (Found("1", found.buckets[0].due),)
    assert (await read_remembered(lab.client, lab.graph, lab.graph.stage("once"), "a")).found == found.found
    assert (await read_remembered(lab.client, lab.graph, lab.graph.stage("once"), "z")).found == ()


async def test_what_a_window_holds_of_a_group_is_shown(lab: Lab) -> None:
    await open_windows(lab)

    found = await read_remembered(lab.client, lab.graph, lab.graph.stage("counted"), "a")

    assert found.keys == 3
    ((value, due),) = [(one.value, one.due) for one in found.found]
    assert (value["key"], value["many"], due) == ("a", 2, 10.0)


async def test_status_says_how_many_keys_a_stage_remembers(lab: Lab) -> None:
    await ran(lab)

    stages = {stage.name: stage for stage in (await status(lab.client, lab.graph)).stages}

    once = stages["once"]
    assert once.remembers is not None
    assert (once.remembers.keys, once.remembers.max_keys, once.remembers.evicted) == (3, 1_000_000, 0)
    assert stages["read"].remembers is None


async def test_a_renamed_stage_takes_its_state_along(lab: Lab) -> None:
    await ran(lab)
    lab.spec(ONCE.replace("once:", "unique:"))
    assert "holds 3 keys that it remembers" in refusal(lab.graph, await plan(lab.client, lab.graph))

    await rename(lab.client, lab.graph, "once", "unique")

    assert not (await plan(lab.client, lab.graph)).stranded
    assert await lab.redis("EXISTS", *await state_keys(lab.client, lab.pipeline, "once")) == 0
    lab.records([5], key="c")
    lab.records([6], key="d")
    await lab.run()
    assert [line["key"] for line in lab.lines("out/all.jsonl")] == ["a", "b", "c", "d"]


async def test_a_stage_that_is_given_up_leaves_no_state(lab: Lab, tmp_path: Path) -> None:
    await ran(lab)
    lab.spec(MAPPED)
    assert (await plan(lab.client, lab.graph)).stranded

    gone = await discard(lab.client, lab.graph, "once", tmp_path / "once.jsonl")

    assert (gone.held.keys, gone.exported) == (3, 0)
    assert await lab.redis("EXISTS", *await state_keys(lab.client, lab.pipeline, "once")) == 0
    await lab.run()


async def test_a_window_that_is_given_up_is_exported(lab: Lab, tmp_path: Path) -> None:
    await open_windows(lab)
    lab.spec(MAPPED)

    gone = await discard(lab.client, lab.graph, "counted", tmp_path / "counted.jsonl")

    lines = [json.loads(line) for line in gone.file.read_text().splitlines()]
    assert sorted((line["where"], line["part"], line["key"]) for line in lines) == [
        ("state", "0", f'["{key}"]') for key in "abc"
    ]
    window = {"window_start": "1970-01-01T00:00:00Z", "window_end": "1970-01-01T00:00:10Z"}
    counts = {"a": 2, "b": 2, "c": 1}
    assert {line["value"]["key"]: line["value"] for line in lines} == {
        key: {"key": key, **window, "many": many} for key, many in counts.items()
    }


async def two_wait(lab: Lab) -> None:
    """A run that left a record of either side waiting for a match, since its limit was reached."""
    joined = f"""
        {READ}
        even: {{filter: "n % 2 == 0"}}
        odd: {{from: read, filter: "n % 2 == 1"}}
        both: {{join: {{left: even, right: odd, on: n, within: 1h}}}}
        out: {{from: both, sink: {{type: jsonl, path: out/all.jsonl}}}}
    """
    lab.spec(joined)
    lab.records([2, 3])
    await lab.run(limit=2)


async def test_records_that_wait_for_a_match_are_exported_as_they_came(lab: Lab, tmp_path: Path) -> None:
    await two_wait(lab)
    lab.spec(MAPPED)
    for stage in ("even", "odd"):
        await discard(lab.client, lab.graph, stage, tmp_path / f"{stage}.jsonl")

    gone = await discard(lab.client, lab.graph, "both", tmp_path / "both.jsonl")

    values = [json.loads(line)["value"] for line in gone.file.read_text().splitlines()]
    assert sorted((one["side"], *(held["record"]["n"] for held in one["records"])) for one in values) == [
        ("left", 2),
        ("right", 3),
    ]


async def test_of_a_record_that_waits_for_a_match_a_trace_says_how_it_is_found(lab: Lab) -> None:
    await two_wait(lab)
    words = ["read:in.jsonl:1", str(lab.path), "--redis", lab.url]

    done = await asyncio.to_thread(CliRunner().invoke, trace, words)

    assert done.exit_code == 1
    assert f"rsq-pipe state {lab.path} both --key KEY" in done.output


@pytest.mark.parametrize(
    ("change", "is_refused"),
    [
        (("key: key", "key: n"), True),
        (("within: 1h", "within: 2h"), False),
        (("within: 1h", "within: 1h, max_keys: 5, evict: oldest"), False),
        (("once: {dedupe: {key: key, within: 1h}}", "once: {map: {m: n}}"), True),
    ],
)
async def test_another_key_is_refused_while_the_stage_remembers_something(
    lab: Lab, change: tuple[str, str], is_refused: bool
) -> None:
    await ran(lab)
    lab.spec(ONCE.replace(*change))

    found = await plan(lab.client, lab.graph)

    assert [one.stage for one in found.stranded] == (["once"] if is_refused else [])
    if is_refused:
        assert "stage 'once' remembers 3 keys by another `dedupe`" in refusal(lab.graph, found)
        assert "--discard once" in refusal(lab.graph, found)


async def test_what_another_key_does_not_know_is_discarded_by_itself(lab: Lab, tmp_path: Path) -> None:
    await ran(lab)
    with pytest.raises(UnknownStageError, match="still has the stage"):
        await discard(lab.client, lab.graph, "once", tmp_path / "once.jsonl")
    lab.spec(ONCE.replace("key: key", "key: n"))
    lab.records([7], key="a")

    gone = await discard(lab.client, lab.graph, "once", tmp_path / "once.jsonl")
    await lab.run()

    assert gone.held.keys == 3
    assert [line["n"] for line in lab.lines("out/all.jsonl")] == [0, 1, 2, 7]
    assert (await lab.state()).counters["once:in"] == 6


@pytest.mark.parametrize(
    ("before", "after"), [("every: 10s", "every: 20s"), ("every: 1d", "every: 1d, zone: Europe/Berlin")]
)
async def test_open_windows_of_another_definition_are_refused_and_the_old_file_finishes_them(
    lab: Lab, before: str, after: str
) -> None:
    old = COUNTED.replace("every: 10s", before)
    await open_windows(lab, old)
    lab.spec(old.replace(before, after))

    found = await plan(lab.client, lab.graph)

    assert "remembers 3 keys by another `aggregate`" in refusal(lab.graph, found)
    assert "finish with the file as it was last run" in refusal(lab.graph, found)
    lab.spec(old)
    await lab.run()
    lab.spec(old.replace(before, after))
    assert not (await plan(lab.client, lab.graph)).stranded


async def test_prune_takes_what_an_empty_state_leaves(lab: Lab) -> None:
    await open_windows(lab)
    await lab.run()
    lab.spec(MAPPED)
    await lab.run()

    pruned = await prune(lab.client, lab.graph)

    assert pruned.stages == ("counted",)
    assert await lab.redis("EXISTS", *await state_keys(lab.client, lab.pipeline, "counted")) == 0


async def test_the_sessions_of_a_group_are_shown(lab: Lab) -> None:
    lab.spec(COUNTED.replace("every: 10s", "gap: 10s"))
    for n in (0, 4, 30):
        lab.records([n], key="a")
    await lab.run(limit=3)

    found = await read_remembered(lab.client, lab.graph, lab.graph.stage("counted"), '"a"')

    assert [(bucket.name, bucket.keys) for bucket in found.buckets] == [("sessions", 1)]
    (one,) = found.found
    assert [(session["window_start"][17:19], session["many"]) for session in one.value] == [
        ("00", 2),
        ("30", 1),
    ]
