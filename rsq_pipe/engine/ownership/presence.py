"""Presence: the sign of life of one running process of a pipeline."""

from __future__ import annotations

from collections.abc import Iterable

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import PipelineBusyError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time
from rsq_pipe.streams.script import PRESENCE
from rsq_pipe.streams.worker import is_gone, is_of_this_machine, worker_name

SECONDS = 15
"""Seconds that a process counts as running after its last sign of life."""

PERIOD = SECONDS / 3
"""Seconds between two signs of life."""


class Presence:
    """
    Show that this process runs the pipeline, and find the other processes that do.

    Args:
        client: The server.
        pipeline: The pipeline's name.
        spec: The file's hash; runs of the same file may begin at the same time.
        key: The key that holds the signs of life; that of the whole pipeline if left out.
        seconds: How long it counts as running after its last sign of life.
    """

    def __init__(
        self,
        client: StreamClient,
        pipeline: str,
        spec: str = "",
        *,
        key: str = "",
        seconds: float = SECONDS,
    ) -> None:
        self._client = client
        self._pipeline = pipeline
        self._seconds = seconds
        self._key = key or Keyspace(pipeline).runs
        self._role = f"run-{spec}" if spec else "run"
        self.name = worker_name(self._role)
        self.is_alone = True
        """Whether no other process counted as running at the last sign of life."""

    async def show(self) -> None:
        """
        Give a sign of life, even on a full server, and remove processes that have been silent for too long.

        Redis: presence.lua.
        """
        running = await self._client.channel.run(PRESENCE, [self._key], [self.name, str(self._seconds)])
        self.is_alone = running < 2

    async def others(self) -> list[str]:
        """Name the other processes that run the pipeline; those of this machine only if they still exist."""
        return [name for name in await self._shown() if not is_gone(name)]

    async def gone(self) -> list[str]:
        """Name those that would still count as running, but are known not to exist any more."""
        return [name for name in await self._shown() if is_gone(name)]

    async def dead(self) -> dict[str, float]:
        """
        Name those that ended without removing their sign of life, and when they gave the last one.

        On this machine these are processes that no longer exist, on others those that have been silent.
        """
        key = self._key
        since = await server_time(self._client, key) - self._seconds
        found = await self._client.channel.execute("ZRANGE", key, "0", "-1", "WITHSCORES", key=key)
        signs = {name.decode(): float(at) for name, at in zip(found[::2], found[1::2], strict=True)}
        return {
            name: at
            for name, at in signs.items()
            if is_gone(name) or (at < since and not is_of_this_machine(name))
        }

    async def forget(self, names: Iterable[str]) -> None:
        """Remove the signs of life of dead processes."""
        await self._client.channel.execute("ZREM", self._key, *names, key=self._key)

    async def _shown(self) -> list[str]:
        # One set, not a key for each: a SCAN for those would go through millions of other keys.
        key = self._key
        since = await server_time(self._client, key) - self._seconds
        found = await self._client.channel.execute("ZRANGEBYSCORE", key, f"({since}", "+inf", key=key)
        return sorted(name for name in (name.decode() for name in found) if name != self.name)

    async def others_of_another_file(self) -> list[str]:
        """Name the other processes that run a different file."""
        return [name for name in await self.others() if not name.startswith(f"{self._role}_")]

    async def refuse_others(self) -> None:
        """
        Check that no other process runs the pipeline.

        Raises:
            PipelineBusyError: Another process does.
        """
        others = await self.others()
        if others:
            raise self.busy(others)

    def busy(self, others: list[str]) -> PipelineBusyError:
        """Make the error that names the other processes that run the pipeline."""
        return PipelineBusyError(
            f"pipeline {self._pipeline!r} is being run by {', '.join(others)}; stop that first. "
            f"A process that was killed on another machine counts for {SECONDS}s more",
            runs=others,
        )

    async def end(self) -> None:
        """Remove the sign of life."""
        await self._client.channel.execute("ZREM", self._key, self.name, key=self._key)
