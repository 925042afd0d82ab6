"""The pipelines of a server are found without their files, and one is taken away whole."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rsq_pipe.cli import delete as delete_command
from rsq_pipe.cli import pipelines as pipelines_command
from rsq_pipe.engine.changes.beginning import begin
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.errors import PipelineBusyError
from rsq_pipe.ops.delete import delete, keys_of
from rsq_pipe.ops.pipelines import Listed, pipelines
from rsq_pipe.streams.client import StreamClient
from tests.integration.engine.lab import READ, Lab
from tests.support.cluster import Cluster
from tests.support.server import binaries

STAGES = f"""
    {READ}
    work: {{map: {{m: 1 / n}}}}
    out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
"""


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.records(range(5))
    lab.spec(STAGES)
    return lab


async def listed(client: StreamClient, name: str) -> Listed | None:
    return next((one for one in await pipelines(client) if one.name == name), None)


async def invoked(module: Any, *words: str) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, module.command, words, catch_exceptions=False)


async def test_a_pipeline_that_has_run_is_listed_with_what_it_holds(lab: Lab) -> None:
    await lab.run()

    found = await listed(lab.client, lab.pipeline)

    assert found is not None
    assert (found.state, found.stages, found.backlog, found.dead) == (
        "resting",
        ("read", "work", "out"),
        0,
        1,
    )
    assert found.last is not None


async def test_a_pipeline_that_runs_is_listed_as_running(lab: Lab) -> None:
    lab.spec(
        STAGES.replace("read: ", "more: {from: {stream: " + lab.pipeline + "-more}, map: {k: 1}}\n    read: ")
    )
    await lab.up()

    found = await listed(lab.client, lab.pipeline)

    assert found is not None
    assert (found.state, len(found.runs)) == ("running", 1)


async def test_what_only_looks_like_a_pipeline_is_none(lab: Lab) -> None:
    await lab.redis("HSET", lab.key("meta"), "a", "b")

    assert await listed(lab.client, lab.pipeline) is None


async def test_all_of_a_pipeline_is_deleted_and_nothing_of_others(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path / "other", f"{lab.pipeline}-2", lab.url)
    other.records(range(3))
    other.spec(STAGES)
    await other.run()
    await lab.run()
    kept = await keys_of(other.client, other.pipeline)

    count = await delete(lab.client, lab.pipeline)

    assert count > 3
    assert await keys_of(lab.client, lab.pipeline) == []
    assert await keys_of(other.client, other.pipeline) == kept
    assert await listed(lab.client, lab.pipeline) is None
    await other.close()


async def test_a_stream_from_outside_stays_and_the_group_on_it_goes(lab: Lab) -> None:
    stream = f"{lab.pipeline}-clicks"
    lab.spec(
        f"work: {{from: {{stream: {stream}}}, map: {{m: n}}}}\nout: {{sink: {{type: jsonl, path: o.jsonl}}}}"
    )
    await lab.client.channel.execute("XADD", stream, "*", "data", '{"n": 1}', key=stream)
    run = await lab.up()
    await run.stop()
    assert await lab.client.channel.execute("XINFO", "GROUPS", stream, key=stream)

    await delete(lab.client, lab.pipeline)

    assert await lab.client.channel.execute("XLEN", stream, key=stream) == 1
    assert await lab.client.channel.execute("XINFO", "GROUPS", stream, key=stream) == []
    await lab.client.channel.execute("DEL", stream, key=stream)


async def test_a_pipeline_that_runs_is_not_deleted(lab: Lab) -> None:
    lab.spec(
        STAGES.replace("read: ", "more: {from: {stream: " + lab.pipeline + "-more}, map: {k: 1}}\n    read: ")
    )
    await lab.up()
    before = await keys_of(lab.client, lab.pipeline)

    with pytest.raises(PipelineBusyError):
        await delete(lab.client, lab.pipeline)

    assert set(before) <= set(await keys_of(lab.client, lab.pipeline))


async def test_a_pipeline_runs_again_from_the_start_after_it_was_deleted(lab: Lab) -> None:
    await lab.run()
    await delete(lab.client, lab.pipeline)
    (lab.root / "out/all.jsonl").unlink()

    await lab.run()

    assert len(lab.lines("out/all.jsonl")) == 4


async def test_the_commands_say_what_is_there_and_what_went(lab: Lab) -> None:
    await lab.run()

    rows = await invoked(pipelines_command, "--redis", lab.url, "--json")
    table = await invoked(pipelines_command, "--redis", lab.url)
    refused = await invoked(delete_command, lab.pipeline, "--redis", lab.url)
    gone = await invoked(delete_command, lab.pipeline, "--redis", lab.url, "--yes")
    again = await invoked(delete_command, lab.pipeline, "--redis", lab.url, "--yes")

    (row,) = [
        row for line in rows.stdout.splitlines() if (row := json.loads(line))["pipeline"] == lab.pipeline
    ]
    assert (row["state"], row["stages"], row["dead"]) == ("resting", ["read", "work", "out"], 1)
    assert f"{lab.pipeline} " in table.stdout
    assert (refused.exit_code, "add --yes" in refused.output) == (2, True)
    assert (gone.exit_code, gone.stdout.endswith("keys deleted; 0 waiting, 1 dead letter\n")) == (0, True)
    assert (again.exit_code, f"there is no pipeline {lab.pipeline!r}" in again.output) == (1, True)


@pytest.mark.parametrize("called", ["*", "?*", "[a-z]*", "\\*"])
async def test_a_name_with_wildcards_is_no_pipeline_and_deletes_nothing(lab: Lab, called: str) -> None:
    await lab.run()
    before = await keys_of(lab.client, lab.pipeline)

    refused = await invoked(delete_command, called, "--redis", lab.url, "--yes")

    assert (refused.exit_code, "there is no pipeline" in refused.output) == (1, True)
    assert await keys_of(lab.client, lab.pipeline) == before


async def test_delete_names_the_replication_slot_that_stays_and_what_drops_it(lab: Lab) -> None:
    lab.spec(
        """
        read: {source: {type: postgres_cdc, dsn: "host=nowhere", publication: shop, slot: shop_pipe}}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
        """
    )
    presence = Presence(lab.client, lab.pipeline)
    await begin(lab.client, lab.graph, presence)
    await presence.end()

    gone = await invoked(delete_command, lab.pipeline, "--redis", lab.url, "--yes")

    assert gone.exit_code == 0
    said = " ".join(gone.stderr.split())
    assert "stage 'read' read the replication slot 'shop_pipe' of a PostgreSQL server" in said
    assert "select pg_drop_replication_slot('shop_pipe')" in said


@pytest.mark.parametrize("binary", binaries())
async def test_pipelines_of_all_nodes_of_a_cluster_are_listed_and_deleted(
    binary: str, tmp_path: Path
) -> None:
    async with Cluster(binaries()[binary]) as cluster:
        assert len({await cluster.owner(f"{{{name}}}:meta") for name in "abc"}) > 1
        for name in "abc":
            lab = Lab(tmp_path / name, name, cluster.url)
            lab.records(range(3))
            lab.spec(STAGES)
            await lab.run()
            await lab.close()

        async with StreamClient.from_url(cluster.url) as client:
            before = [one.name for one in await pipelines(client)]
            await delete(client, "b")
            after = [one.name for one in await pipelines(client)]

    assert (before, after) == (["a", "b", "c"], ["a", "c"])
