"""Lab: one pipeline of a test, run in this process on a real server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rsq_pipe.engine.state.state import PipelineState, read_state
from rsq_pipe.engine.summary import Summary
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.support.project import Project
from tests.support.signals import PATIENCE, wait_until

READ = "read: {source: {type: jsonl, path: '*.jsonl'}}"
"""A source over all .jsonl files of the project's folder; sinks write into folders below."""

if TYPE_CHECKING:
    from rsq_pipe.engine.runner import Runner

Entry = tuple[str, dict[str, str]]


class Running:
    """One run under way."""

    def __init__(self, runner: Runner, client: StreamClient) -> None:
        self.runner = runner
        self.client = client
        self.task = asyncio.ensure_future(runner.run())

    async def ended(self, timeout: float = PATIENCE) -> Summary:
        """Wait for the run's end; its error is raised."""
        return await asyncio.wait_for(asyncio.shield(self.task), timeout)

    async def stop(self, timeout: float = PATIENCE) -> Summary:
        self.runner.stop()
        return await self.ended(timeout)

    async def abandon(self) -> None:
        """Cut the run off where it stands."""
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.client.close()


class Lab(Project):
    """
    Run a project's pipeline.

    Args:
        root: An empty folder.
        pipeline: The pipeline's name.
        url: The server.
    """

    def __init__(self, root: Path, pipeline: str, url: str) -> None:
        super().__init__(root, pipeline)
        self.url = url
        self.client = StreamClient.from_url(url)
        self._runs: list[Running] = []

    @property
    def graph(self) -> Graph:
        return load(self.path)

    @property
    def module(self) -> ModuleType:
        """The handlers' module, as the running pipeline sees it."""
        return sys.modules["handlers"]

    def key(self, name: str) -> str:
        return f"{{{self.pipeline}}}:{name}"

    def start(self, url: str = "", **settings: Any) -> Running:
        """Begin a run; one that still runs at the end of the test is cut off."""
        from rsq_pipe.engine.runner import Runner  # many tests run nothing

        client = StreamClient.from_url(url or self.url)
        run = Running(Runner(self.graph, client, **settings), client)
        self._runs.append(run)
        return run

    async def up(self, **settings: Any) -> Running:
        """Begin a run and wait until its groups are made."""
        run = self.start(**settings)
        await wait_until(lambda: run.runner.state is not None or run.task.done(), what="the run is up")
        return run

    async def run(self, timeout: float = PATIENCE, **settings: Any) -> Summary:
        """Run to the end."""
        return await self.start(**settings).ended(timeout)

    async def redis(self, *command: str | bytes | float) -> Any:
        return await self.client.channel.execute(*command, key=self.key("meta"))

    async def entries(self, key: str) -> list[Entry]:
        """Read a stream: ids and fields as text."""
        found = await self.redis("XRANGE", key, "-", "+")
        return [(entry_id.decode(), _texts(fields)) for entry_id, fields in found]

    async def records_in(self, name: str) -> int:
        """Count the records that stand in one of the pipeline's streams, in whatever entries."""
        return sum(int(fields.get("rsq-pack", 1)) for _, fields in await self.entries(self.key(name)))

    async def dead_letters(self, stage: str) -> list[Mapping[str, str]]:
        return [fields for _, fields in await self.entries(self.key(f"{stage}:dlq"))]

    async def commands(self) -> int:
        """Count what the server has done so far, for others too, and each command of a script."""
        told = (await self.redis("INFO", "stats")).decode()
        return int(told.partition("total_commands_processed:")[2].split()[0])

    async def state(self) -> PipelineState:
        return await read_state(self.client, self.graph)

    async def close(self) -> None:
        for run in self._runs:
            await run.abandon()
        await self.client.close()


def _texts(fields: list[bytes]) -> dict[str, str]:
    texts = [field.decode() for field in fields]
    return dict(zip(texts[::2], texts[1::2], strict=True))
