"""Cluster storm: what happens to a cluster under a running pipeline, whose processes nobody touches."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import redis

from tests.chaos.storm import HANDLERS, Storm
from tests.support.cluster import Cluster
from tests.support.signals import eventually

PATIENCE = 20.0
"""Seconds the next act waits for records to come through: it is to meet a pipeline at work."""


GATED = """
    from pathlib import Path

    pour = split

    def split(record, ctx):
        while not Path(GATE).exists():
            time.sleep(0.01)
        return pour(record, ctx)
"""
"""Holds the work back until every process reads: one that comes late would find nothing left to do."""


class Served:
    """
    Call a cluster from the storm's thread.

    Args:
        cluster: Running in `loop`.
        url: What the pipeline is given.
    """

    def __init__(self, cluster: Cluster, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.cluster = cluster
        self.url = url
        self._loop = loop

    def wait(self, doing: Coroutine[Any, Any, Any]) -> Any:
        """Run to its end."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(60)


class ClusterStorm(Storm):
    """Do to a pipeline's cluster what operators and power cuts do; see Storm for the arguments."""

    def __init__(self, root: Path, server: Served, *, seed: int, count: int, processes: int) -> None:
        super().__init__(root, server, seed=seed, count=count, processes=processes)
        self.key = f"{{{self.project.pipeline}}}:meta"

    def _write_project(self, count: int, *, fuse: bool) -> None:
        super()._write_project(count, fuse=fuse)
        self._gate = self.project.root / "gate"
        self.project.handlers(HANDLERS + GATED.replace("GATE", repr(str(self._gate))))

    def until_up(self) -> None:
        """
        Wait until every process reads, and let the work begin.

        A process that finds no server as it starts ends, and says so.
        """
        workers, stream = 2 * len(self._runs), f"{{{self.project.pipeline}}}:read"
        with self.redis() as client:
            eventually(
                lambda: client.exists(stream) and self._readers(client, stream) >= workers,
                timeout=40.0,
                what=f"{workers} workers read",
            )
        self._gate.touch()

    def _readers(self, client: Any, stream: str) -> int:
        return sum(info["consumers"] for info in client.xinfo_groups(stream) if info["name"] == "split")

    def move_slot(self) -> None:
        """Move the pipeline's slot to another master, one key after the other."""
        wait, cluster = self.server.wait, self.server.cluster
        wait(cluster.until_whole())
        owner = wait(cluster.owner(self.key))
        others = sorted(set(wait(cluster.masters())) - {owner})
        wait(cluster.move(self.key, to=self.draw.choice(others)))

    def kill_master(self) -> None:
        """End the master of the pipeline by SIGKILL; it comes back, shortly after or when it was replaced."""
        wait, cluster = self.server.wait, self.server.cluster
        wait(cluster.until_whole())
        node = cluster.nodes[wait(cluster.owner(self.key))]
        node.kill()
        self._pass(self.draw.choice([0.0, 0.3, 3.0]))
        node.start()

    def fail_over(self) -> None:
        """Let the replica of the pipeline's master take its place."""
        self.server.wait(self.server.cluster.until_whole())
        self.server.wait(self.server.cluster.fail_over(self.key))

    def redis(self) -> Any:
        """Connect to the cluster."""
        return redis.RedisCluster.from_url(
            f"redis://127.0.0.1:{self.server.cluster.nodes[0].port}", decode_responses=True
        )
