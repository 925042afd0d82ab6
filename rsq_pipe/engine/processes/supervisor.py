"""Supervisor: several processes of one pipeline, each restarted when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from structlog.typing import FilteringBoundLogger

from rsq_pipe.engine.changes.beginning import begin
from rsq_pipe.engine.failures.last_failure import LastFailure
from rsq_pipe.engine.housekeeping.briefly import briefly
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.processes.earlier_runs import begin_reading, log_dead_processes, take_over
from rsq_pipe.engine.processes.forked import Forked
from rsq_pipe.engine.processes.reports import Reports
from rsq_pipe.engine.processes.supervised import ADDRESS, COUNT, ENDED, NUMBER, REPORTS, SUPERVISED
from rsq_pipe.engine.state.state import read_state
from rsq_pipe.engine.summary import Summary, summary_of
from rsq_pipe.errors import RsqPipeError, StreamError
from rsq_pipe.growing_pause import GrowingPause
from rsq_pipe.process_state import is_stopped
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.backoff import FIRST, LONGEST, Backoff
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.waiting import first
from rsq_pipe.streams.worker import process_id

LEAST, AFTER_DRAIN = 10.0, 10.0
"""
Seconds that a process gets to end once it is told to: what a stop may take, but at least the first, and the
second for the rest, such as its telemetry. One that is paused would never end.
"""

_AT_END = 5.0
"""Seconds for which the supervisor tries to read the results, once all processes have ended."""

LOOK = 2.0
"""Seconds from one look at a process to the next."""

_PAUSED = (
    "a process is paused (SIGSTOP) and does nothing; the others take over what it had after a few seconds: "
    "let it go on, kill -CONT {0}, or end it, kill -KILL {0}"
)

_DONE = (0, 4)  # finished, with or without dead letters
_REPORTS_DONE = [str(code).encode() for code in _DONE]
_OUR_FAULT = 70  # an error that nothing in the pipeline explains
_NO_SERVER = 3  # no server at its start: the supervisor has had one, so the server will come back


class Supervisor:
    """
    Keep processes running.

    A process that ends by itself reports its exit code, and the code counts: if a stage cannot continue, the
    others end too. One that dies, by whatever signal or `os._exit` code, finds no server, or fails through a
    bug of ours, is restarted; until then its entries go to the others. They all hold the end of a pipe whose
    other end is here: if this process is gone, even by SIGKILL, they drain and end.

    Args:
        graph: The pipeline.
        client: The server, for provisioning and the summary.
        address: The server's URL, passed to the processes in their environment, where `ps` does not show it.
        processes: Number of processes.
        options: Further arguments for their command line.
        stages: Names of the stages they run; none for all.
        fresh: Start over first.
        drain_timeout: Seconds a stop may take; None for the spec's.
        forked: The processes that exist already and are waiting.
        reports: Where all of them report how far they are.
        at_end: Called once all is done, while the processes are ending.
    """

    def __init__(
        self,
        graph: Graph,
        client: StreamClient,
        address: str,
        *,
        processes: int,
        options: Sequence[str],
        stages: Sequence[str] = (),
        fresh: bool,
        drain_timeout: float | None = None,
        forked: Sequence[Forked] = (),
        reports: Reports | None = None,
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        self.graph = graph
        self.before: dict[str, int] | None = None
        """The counters the run began with; None until it has begun."""
        self.reports = reports or Reports()
        self.summary: Summary | None = None
        """What they did, once all have ended."""
        self._client = client
        self._processes = processes
        # -P: without it `-m` would import from the current folder, whose random.py is not Python's.
        self._command = [sys.executable, "-P", "-m", "rsq_pipe", "run", str(graph.path), *options]
        self._names = list(stages) or [stage.name for stage in graph.stages]
        self._address = address
        self._fresh = fresh
        self._forked = dict(enumerate(forked))
        self._at_end = at_end
        self._stopping = asyncio.Event()
        self._terminating = asyncio.Event()  # whether the processes were asked to end
        drain = graph.drain_timeout if drain_timeout is None else drain_timeout
        self._ends_within = max(drain, LEAST) + AFTER_DRAIN
        self._finished = False  # one process has seen that all of them are done
        self._running: set[asyncio.subprocess.Process | Forked] = set()
        self._codes: list[int] = []
        self._died: set[int] = set()  # ids of processes that ended, but not by themselves
        self._presence = Presence(client, graph.pipeline, graph.spec_hash)
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline)

    async def run(self) -> Summary:
        """
        Run until every process has ended.

        Raises:
            RsqPipeError: A process ended because a stage cannot continue; it has reported why.
        """
        with self.reports.listening():
            return await self._run()

    async def _run(self) -> Summary:
        began = time.monotonic()
        await self._begin()
        self.before = before = dict((await read_state(self._client, self.graph)).counters)
        watched, held = os.pipe()
        try:
            await asyncio.gather(*(self._keep(number, watched) for number in range(self._processes)))
        finally:
            os.close(watched)
            os.close(held)
            await briefly(self._forget_dead())
        seconds = time.monotonic() - began
        failed = [code for code in self._codes if code not in _DONE]
        if failed:
            with contextlib.suppress(StreamError):  # the process has said what is wrong
                self.summary = await self._summary(before, seconds)
            raise RsqPipeError(f"a process of pipeline {self.graph.pipeline!r} ended with code {failed[0]}")
        if self._finished:  # each process would also delete what another one has stored
            await briefly(LastFailure(self._client, self.graph).ends(None, finished=True))
        self.summary = await self._summary(before, seconds)
        return self.summary

    async def _summary(self, before: Mapping[str, int], seconds: float) -> Summary:
        """Read what was done; an outage just now, when all work is done, is waited out for a while."""
        waited = asyncio.Event()
        asyncio.get_running_loop().call_later(_AT_END, waited.set)
        backoff = Backoff(f"pipeline {self.graph.pipeline}")
        state = await backoff.until_works(lambda: read_state(self._client, self.graph), waited)
        finished = not self._stopping.is_set()
        return summary_of(self.graph, before, state, seconds=seconds, finished=finished)

    async def _forget_dead(self) -> None:
        """Remove signs of life that are left: those who died were logged, and others did their work."""
        dead = [name for name in await self._presence.dead() if process_id(name) in self._died]
        if dead:
            await self._presence.forget(dead)
        await self._presence.end()

    async def _begin(self) -> None:
        presence, begun = self._presence, False
        try:
            await log_dead_processes(presence, LastFailure(self._client, self.graph))
            await begin(self._client, self.graph, presence, fresh=self._fresh)
            await take_over(self._client, self.graph)  # or each process would log all of it
            await begin_reading(self._client, self.graph, self._names, may_end=True)
            begun = True
        finally:
            # After a fresh start this entry stays until the processes have registered their own.
            if not (begun and self._fresh):
                with contextlib.suppress(StreamError):
                    await presence.end()

    @property
    def has_begun(self) -> bool:
        """Whether the run has got so far that its processes store what ends it."""
        return self.before is not None

    def stop(self) -> None:
        """Ask every process to drain; idempotent."""
        if self._stopping.is_set():
            return  # a second signal would force them
        self._stopping.set()
        self._terminate_all()

    def _terminate_all(self) -> None:
        if not self._terminating.is_set():
            self._terminating.set()
            for process in self._running:
                _terminate(process)

    async def _keep(self, number: int, watched: int) -> None:
        pause = GrowingPause(FIRST, LONGEST)
        while not self._stopping.is_set():
            began = time.monotonic()
            code, by_itself = await self._run_one(number, watched)
            if by_itself and code != _NO_SERVER:
                self._codes.append(code)
                if code in _DONE:
                    self._finish()
                else:
                    self.stop()
                return
            if self._stopping.is_set() or self._finished:
                return
            if time.monotonic() - began > 60:  # it ran well for a while: this is a new problem
                pause.works()
            why = exit_reason(code, by_itself=by_itself)
            self._log.warning("a process died and is started again", number=number, code=code, why=why)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause.fails())

    def _finish(self) -> None:
        """Stop the others once all sources have ended and all is drained: they would notice only later."""
        if not self._finished:
            self._finished = True
            self._terminate_all()
            self._at_end()

    async def _run_one(self, number: int, watched: int) -> tuple[int, bool]:
        """Run a process to its end; return its exit code, and whether it ended by itself."""
        if (forked := self._forked.pop(number, None)) is not None:
            with contextlib.closing(forked):
                forked.begin(self._address)
                return await self._wait_for_end(forked, forked.code_pipe)
        code_pipe, code_written = os.pipe()
        try:
            return await self._wait_for_end(await self._start(number, watched, code_written), code_pipe)
        finally:
            os.close(code_pipe)
            os.close(code_written)

    async def _wait_for_end(
        self, process: asyncio.subprocess.Process | Forked, code_pipe: int
    ) -> tuple[int, bool]:
        self._running.add(process)
        if self._terminating.is_set():  # stopped while it was starting, before it could be asked
            _terminate(process)
        reported = bytearray()
        loop = asyncio.get_running_loop()
        loop.add_reader(code_pipe, self._read_code, code_pipe, reported, process)
        try:
            code = await self._ended(process)
        finally:
            loop.remove_reader(code_pipe)
        self._running.discard(process)
        # Only once the other end is closed: a process started by a handler may still hold it.
        os.set_blocking(code_pipe, False)
        with contextlib.suppress(BlockingIOError):
            reported += os.read(code_pipe, 16)
        by_itself = reported == str(code).encode()
        if not by_itself:
            self._died.add(process.pid)
        return code, by_itself

    def _read_code(
        self, code_pipe: int, reported: bytearray, process: asyncio.subprocess.Process | Forked
    ) -> None:
        """Read the code that a process reports just before it ends: the others can end at the same time."""
        asyncio.get_running_loop().remove_reader(code_pipe)  # or the closed end would be read again and again
        reported += os.read(code_pipe, 16)
        if reported in _REPORTS_DONE:
            self._running.discard(process)  # a signal would cut its end short
            self._finish()

    async def _start(self, number: int, watched: int, code_written: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            env={
                **os.environ,
                SUPERVISED: str(watched),
                ENDED: str(code_written),
                NUMBER: str(number),
                COUNT: str(self._processes),
                REPORTS: str(self.reports.sent_to),
                ADDRESS: self._address,
            },
            # Several readers of one standard input would break its lines apart.
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(watched, code_written, self.reports.sent_to),
            # A session of its own: Ctrl-C in the terminal reaches only the supervisor, which stops each
            # process once.
            start_new_session=True,
        )

    async def _ended(self, process: asyncio.subprocess.Process | Forked) -> int:
        ended = asyncio.ensure_future(process.wait())
        looking = asyncio.ensure_future(_log_pauses(process.pid, self._log))
        try:
            await first(asyncio.shield(ended), self._is_late())
            if not ended.done():
                self._log_killed(process.pid)
                process.kill()
            return await ended
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        finally:
            looking.cancel()

    async def _is_late(self) -> None:
        """Wait until a process should have ended."""
        await self._terminating.wait()
        await asyncio.sleep(self._ends_within)

    def _log_killed(self, pid: int) -> None:
        why = "it is paused (SIGSTOP)" if is_stopped(pid) else "it hangs"
        self._log.warning(
            f"a process has not ended {self._ends_within:g}s after it was told to, since {why}: it is "
            "killed; nothing is lost, and what it had in flight is handled again",
            pid=pid,
        )


def _terminate(process: asyncio.subprocess.Process | Forked) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)


async def _log_pauses(pid: int, log: FilteringBoundLogger) -> None:
    """Look at a process until cancelled, and log when it is paused and when it goes on."""
    was_paused = False
    while True:
        await asyncio.sleep(LOOK)
        if is_stopped(pid) == was_paused:
            continue
        was_paused = not was_paused
        what = _PAUSED.format(pid) if was_paused else "a process that was paused goes on"
        log.warning(what, pid=pid)


def exit_reason(code: int, *, by_itself: bool) -> str:
    """
    Return why a process that is started again has ended.

    Args:
        code: Its exit code, or minus the number of the signal that ended it.
        by_itself: Whether its run had ended: without its server, as all other ends are final.
    """
    if by_itself:
        return "the server is not reachable, or refuses the login"
    if code == _OUR_FAULT:
        return "it met a fault of rsq-pipe, or could have no more of what it needs: a line above says what"
    if code >= 0:
        return f"its own code ended it with exit code {code}, as os._exit does"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", as by the system if memory runs out" if -code == signal.SIGKILL else ""
    return f"killed by {name}{memory}"
