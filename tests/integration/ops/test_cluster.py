"""Status and doctor in a cluster: they ask the node that carries the pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rsq_pipe.ops.acl import users
from rsq_pipe.ops.doctor.checkup import examine
from rsq_pipe.ops.status import read_status
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.integration.engine.lab import READ, Lab
from tests.support.cluster import Cluster
from tests.support.project import Project
from tests.support.server import binaries

STAGES = f"{READ}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}"


@pytest.fixture(params=binaries())
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with Cluster(binaries()[request.param]) as running:
        yield running


async def test_pipelines_on_different_nodes_are_looked_at(cluster: Cluster, tmp_path: Path) -> None:
    # The three tags live on different nodes, or the test would prove less than it says.
    assert len({await cluster.owner(f"{{{name}}}:meta") for name in "abc"}) > 1

    for name in "abc":
        lab = Lab(tmp_path / name, name, cluster.url)
        lab.records(range(7))
        lab.spec(STAGES)
        await lab.run()
        status = await read_status(lab.client, lab.graph)
        await lab.close()

        assert (status.ran, status.drained) == (True, True)
        assert [stage.done for stage in status.stages] == [7, 7]


async def test_a_stage_remembers_in_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "b", "b", cluster.url)
    lab.records([n % 5 for n in range(50)])
    lab.spec(
        STAGES.replace("out:", "once: {dedupe: {key: n, within: 1h}, workers: 2, batch: {size: 5}}\nout:")
    )

    await lab.run()
    await lab.run()
    status = await read_status(lab.client, lab.graph)
    await lab.close()

    assert sorted(line["n"] for line in lab.lines("out/all.jsonl")) == list(range(5))
    (seen,) = [stage for stage in status.stages if stage.name == "once"]
    assert seen.remembers is not None
    assert (seen.remembers.keys, seen.counters["dropped"]) == (5, 45)


async def test_a_node_addressed_as_a_single_server_is_a_problem_with_the_right_address(
    cluster: Cluster, tmp_path: Path
) -> None:
    graph = load(Project(tmp_path / "project", "a").spec(STAGES))
    owner = await cluster.owner("{a}:meta")
    wrong = cluster.nodes[(owner + 1) % len(cluster.nodes)]

    async with StreamClient.from_url(cluster.url) as client:
        asked_well = {finding.check: finding.level for finding in await examine(client, graph)}
    async with StreamClient.from_url(wrong.tcp_url) as client:
        asked_badly = {finding.check: finding for finding in await examine(client, graph)}

    assert (asked_well["cluster"], asked_well["scripts"], asked_well["rights"]) == ("ok", "ok", "ok")
    assert asked_badly["cluster"].level == "problem"
    assert asked_badly["cluster"].mend == f"--redis redis+cluster://127.0.0.1:{wrong.port}"


async def test_the_user_that_acl_prints_runs_a_pipeline(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", "a")
    _, user = users(load(project.spec(STAGES)), is_cluster=True)
    for node in range(len(cluster.nodes)):
        await cluster.ask(node, *user.setuser.split())
    lab = Lab(tmp_path / "lab", "a", cluster.url.replace("://", f"://{user.name}:{user.password}@"))
    lab.records(range(7))
    lab.spec(STAGES)

    await lab.run()
    await cluster.move("{a}:meta", to=(await cluster.owner("{a}:meta") + 1) % 3)

    assert (await read_status(lab.client, lab.graph)).drained
    await lab.close()
