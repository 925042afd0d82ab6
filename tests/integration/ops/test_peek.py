"""Peek shows every record that stands before a stage once, taken out of its pack, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import msgpack
import pytest
from click.testing import CliRunner

from rsq_pipe.cli.peek import command
from rsq_pipe.engine.changes import provision
from rsq_pipe.ops.peek import Peeked, peek
from rsq_pipe.ops.trace.kept import Kept
from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab

CHAIN = f"""
    {READ}
    add: {{map: {{m: "n + 1"}}}}
    out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
"""


@pytest.fixture
async def lab(lab: PackedLab) -> PackedLab:
    lab.spec(CHAIN)
    await provision.lay(lab.client, lab.graph)
    return lab


@pytest.fixture
async def full(lab: PackedLab) -> PackedLab:
    """Two records pending, three waiting, the last one written by release 0.1; one due, one retry."""
    await lab.append("read", 2, headers={1: {"tenant": "a"}})
    await lab.read("add", "read", 1)
    await lab.append("read", 2)
    await lab.redis("XADD", lab.key("read"), "*", "data", '{"n": 4}', "rid", "read:4")
    again = ["data", '{"n": 5}', "rsq-rid", "read:5", "rsq-attempts", "1"]
    # By its id it was written last, however fast the test is.
    await lab.redis("XADD", lab.key("add:again"), f"{round(time.time() * 1000) + 1_000}-0", *again)
    fields = ["data", b'{"n": 6}', "rsq-rid", "read:6", "rsq-attempts", "2"]
    member = msgpack.packb(["1-0", *fields], use_bin_type=False)
    await lab.redis("ZADD", lab.key("add:retry"), str(round(time.time() * 1000) + 60_000), member)
    return lab


async def found(lab: PackedLab, stage: str = "add") -> list[Peeked]:
    return [one async for one in peek(lab.client, lab.graph, lab.graph.stage(stage))]


async def run(lab: PackedLab, *args: str) -> Any:
    words = [str(lab.path), "--redis", lab.url, *args]
    return await asyncio.to_thread(CliRunner().invoke, command, words, catch_exceptions=False)


async def test_each_record_before_a_stage_is_shown_once_the_oldest_first(full: PackedLab) -> None:
    records = await found(full)

    assert [(one.rid, one.state) for one in records] == [
        ("read:0", "pending"),
        ("read:1", "pending"),
        ("read:2", "waiting"),
        ("read:3", "waiting"),
        ("read:4", "waiting"),
        ("read:5", "due"),
        ("read:6", "retry"),
    ]
    assert [json.loads(one.raw)["n"] for one in records] == list(range(7))
    assert (records[1].consumer, records[1].deliveries, dict(records[1].headers)) == (
        "reader",
        1,
        {"tenant": "a"},
    )
    assert records[0].id == records[1].id
    assert records[-1].due_in == pytest.approx(60, abs=5)


async def test_looking_changes_nothing(full: PackedLab) -> None:
    before = await full.redis("XINFO", "GROUPS", full.key("read"))

    await found(full)

    assert await full.redis("XINFO", "GROUPS", full.key("read")) == before


async def test_a_pack_that_cannot_be_read_is_shown_as_it_is(lab: PackedLab) -> None:
    await lab.redis("XADD", lab.key("read"), "*", "rsq-pack", "2", "data", "torn")

    (one,) = await found(lab)

    assert one.raw == b"torn"


async def test_a_stage_that_never_ran_has_all_before_it_that_its_stream_holds(lab: PackedLab) -> None:
    await lab.append("read", 3)
    lab.spec(CHAIN.replace("add:", "plus:"))

    assert [one.state for one in await found(lab, "plus")] == ["waiting"] * 3


async def test_the_command_shows_at_most_count_and_says_what_there_is(full: PackedLab) -> None:
    result = await run(full, "add", "--limit", "3")

    assert result.exit_code == 0
    assert [line.split("  ")[0] for line in result.stdout.splitlines() if line.startswith("read:")] == [
        "read:0",
        "read:1",
        "read:2",
    ]
    assert f"{full.pipeline}: stage 'add' holds" in result.stderr
    assert "1 to be retried; --limit shows more" in result.stderr


async def test_the_command_prints_json_lines_of_those_that_match(full: PackedLab) -> None:
    result = await run(
        full, "add", "--json", "--where", "n >= 3 and entry['state'] != 'retry'", "--count", "99"
    )

    assert [json.loads(line)["payload"] for line in result.stdout.splitlines()] == [
        {"n": 3},
        {"n": 4},
        {"n": 5},
    ]


async def test_a_field_that_is_missing_is_told_of(full: PackedLab) -> None:
    result = await run(full, "add", "--where", "price > 3")

    assert "no record matches" in result.stdout
    assert "7 records passed over, since --where has no value: read:0: " in result.stderr


async def test_nothing_is_said_to_stand_before_an_idle_stage(lab: PackedLab) -> None:
    assert "no records wait for it" in (await run(lab, "out")).stdout
    assert (await run(lab, "out", "--json")).stdout == ""


@pytest.mark.parametrize(("stage", "why"), [("read", "is a source"), ("ad", "no stage 'ad'")])
async def test_a_stage_with_nothing_before_it_is_refused(lab: PackedLab, stage: str, why: str) -> None:
    result = await run(lab, stage)

    assert result.exit_code == 2
    assert why in result.output.replace("\n│ ", " ").replace("  ", " ")


async def test_what_waits_for_a_stage_that_the_file_has_no_more_is_shown(full: PackedLab) -> None:
    full.spec(CHAIN.replace("add:", "plus:"))

    result = await run(full, "add", "--json")

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["state"], line["payload"]) for line in lines] == [
        *((state, {"n": n}) for n, state in enumerate(["pending"] * 2 + ["waiting"] * 3)),
        ("due", {"n": 5}),
        ("retry", {"n": 6}),
    ]
    assert f"{full.pipeline}: the file has no stage 'add'" in result.stderr


async def test_a_stage_that_never_was_is_refused_with_those_that_were(full: PackedLab) -> None:
    full.spec(CHAIN.replace("add:", "plus:"))

    result = await run(full, "ad")

    assert result.exit_code == 2
    assert "did you mean 'add'?" in result.output


async def test_a_record_in_a_pack_is_traced_by_its_id(full: PackedLab) -> None:
    kept = Kept(full.client, full.graph)

    one, other = await kept.trace("read:1"), await kept.trace("read:3")

    assert [(step.stage, step.rid, step.outcome) for step in one.steps] == [
        ("read", "read:1", "emitted"),
        ("add", "read:1", "in flight"),
    ]
    assert [(step.stage, step.outcome) for step in other.steps] == [("read", "emitted"), ("add", "waiting")]


async def test_the_id_of_a_pack_names_all_its_records(full: PackedLab) -> None:
    entry_id = (await found(full))[0].id

    trace = await Kept(full.client, full.graph).trace(entry_id)

    assert {step.rid for step in trace.steps} == {"read:0", "read:1"}
