"""Supervisor: several processes of one pipeline, each started anew when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence

import structlog

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.runtime import groundwork
from rsq_pipe.runtime.presence import Presence
from rsq_pipe.runtime.summary import Summary, summarize
from rsq_pipe.runtime.survey import survey
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.client import StreamClient

SUPERVISED = "RSQ_PIPE_SUPERVISED"
"""Set in the environment of the processes: their supervisor prints the summary."""

_DONE = (0, 4)  # finished, with or without dead letters
_OUR_FAULT = 70


class Supervisor:
    """
    Keep processes running.

    One that is killed, or fails by a fault of ours, is started anew; its entries go to the others
    meanwhile. One that ends because a stage cannot go on ends the others too.

    Args:
        graph: The pipeline.
        client: The server, for the groundwork and the summary.
        address: The server's URL, handed to the processes in their environment, where `ps` does not show it.
        processes: How many.
        options: Further words for their command line.
        fresh: Start over first.
    """

    def __init__(
        self,
        graph: Graph,
        client: StreamClient,
        address: str,
        *,
        processes: int,
        options: Sequence[str],
        fresh: bool,
    ) -> None:
        self._graph = graph
        self._client = client
        self._processes = processes
        self._command = [sys.executable, "-m", "rsq_pipe", "run", str(graph.path), *options]
        self._environ = {**os.environ, SUPERVISED: "1", "RSQ_PIPE_REDIS": address}
        self._fresh = fresh
        self._stopping = asyncio.Event()
        self._running: set[asyncio.subprocess.Process] = set()
        self._codes: list[int] = []
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline)

    async def run(self) -> Summary:
        """
        Run until every process has ended.

        Raises:
            RsqPipeError: A process ended because a stage cannot go on; it has said why.
        """
        began = time.monotonic()
        if self._fresh:
            await Presence(self._client, self._graph.pipeline).refuse_others()
            await groundwork.clear(self._client, self._graph)
        await groundwork.lay(self._client, self._graph)
        before = (await survey(self._client, self._graph)).counters
        await asyncio.gather(*(self._keep(number) for number in range(self._processes)))
        failed = [code for code in self._codes if code not in _DONE]
        if failed:
            raise RsqPipeError(f"a process of pipeline {self._graph.pipeline!r} ended with code {failed[0]}")
        after = await survey(self._client, self._graph)
        return summarize(
            self._graph,
            before,
            after.counters,
            seconds=time.monotonic() - began,
            finished=not self._stopping.is_set(),
            dead_letters=sum(stage.dead for stage in after.stages.values()),
        )

    def stop(self) -> None:
        """Tell every process to drain; idempotent."""
        self._stopping.set()
        for process in self._running:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)

    async def _keep(self, number: int) -> None:
        backoff = Backoff(f"process {number}")
        while not self._stopping.is_set():
            # A session of its own: a Ctrl-C in the terminal reaches the supervisor, which tells them once.
            process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environ, start_new_session=True
            )
            self._running.add(process)
            began = time.monotonic()
            code = await self._ended(process)
            self._running.discard(process)
            if code >= 0 and code != _OUR_FAULT:
                self._codes.append(code)
                if code not in _DONE:
                    self.stop()
                return
            if time.monotonic() - began > 60:  # it ran well for a while: not the same trouble again
                backoff.reset()
            self._log.warning("a process died and is started anew", number=number, code=code)
            await backoff.wait(RuntimeError(f"exit code {code}"), self._stopping)

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        try:
            return await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
