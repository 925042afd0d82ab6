"""Presence: the sign of life of one running process of a pipeline."""

from __future__ import annotations

import contextlib

from rsq_pipe.errors import PipelineBusyError, StreamFullError
from rsq_pipe.runtime.keyspace import Keyspace
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.worker import is_gone, worker_name

SECONDS = 15
"""How long a process counts as running after its last sign of life."""

PERIOD = SECONDS / 3
"""Seconds between two signs of life."""


class Presence:
    """
    Show that this process runs the pipeline, and find the others that do.

    Args:
        client: The server.
        pipeline: The pipeline's name.
    """

    def __init__(self, client: StreamClient, pipeline: str) -> None:
        self._client = client
        self._pipeline = pipeline
        self._keys = Keyspace(pipeline)
        self.name = worker_name("run")

    async def show(self) -> None:
        """Give a sign of life."""
        key = self._keys.presence(self.name)
        # A full server takes none, and that must not keep a run from emptying it.
        with contextlib.suppress(StreamFullError):
            await self._client.channel.execute("SET", key, "1", "EX", SECONDS, key=key)

    async def others(self) -> list[str]:
        """Name the other processes that run the pipeline; of this machine's, only those that still exist."""
        pattern = self._keys.presence("*")
        cursor, names = b"0", set()
        while True:
            cursor, found = await self._client.channel.execute(
                "SCAN", cursor, "MATCH", pattern, "COUNT", 1_000, key=self._keys.meta
            )
            names |= {key.decode().removeprefix(pattern[:-1]) for key in found}
            if cursor == b"0":
                return sorted(name for name in names if name != self.name and not is_gone(name))

    async def refuse_others(self) -> None:
        """
        Make sure that nobody else runs the pipeline.

        Raises:
            PipelineBusyError: Somebody does.
        """
        others = await self.others()
        if others:
            raise PipelineBusyError(
                f"pipeline {self._pipeline!r} is being run by {', '.join(others)}; stop that first. "
                f"A process that was killed on another machine counts for {SECONDS}s more",
                runs=others,
            )

    async def end(self) -> None:
        """Take the sign away."""
        key = self._keys.presence(self.name)
        await self._client.channel.execute("DEL", key, key=key)
