"""Jobs: replays and purges that take longer than a request, with their progress."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from msgspec import Struct, field

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.ops.dead_letters.progress import Progress
from rsq_pipe.page.answers import Refusal, moment
from rsq_pipe.redaction import redact

_log = structlog.get_logger("rsq_pipe")

KEPT = 200
"""Maximum number of ended jobs that are still listed."""

MOST = 8
"""Maximum number of running jobs."""

AT_ONCE = 1.0
"""Seconds to wait for a job's end, before its request is answered with a running job."""


STORE_END_EVERY = 1.0
"""Seconds before storing how a job ended is tried again."""


class Job(Struct):
    """
    Track one action.

    Args:
        pipeline, stage: The pipeline and stage.
        action: `replay` or `purge`.
        total: Number of dead letters to move or delete.
        progress: Counts the letters, and can stop the job.
    """

    pipeline: str
    stage: str
    action: str
    total: int
    progress: Progress = field(default_factory=Progress)
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    began: float = field(default_factory=time.time)
    ended: float | None = None
    state: str = "running"
    error: str = ""
    task: asyncio.Task[None] | None = None

    def document(self) -> dict[str, Any]:
        """Describe it as the API does."""
        total = self.progress.total
        return {
            "id": self.id,
            "pipeline": self.pipeline,
            "stage": self.stage,
            "action": self.action,
            "state": self.state,
            "total": self.total,
            "done": total.removed,
            "held": total.held,
            "gone": total.gone,
            "error": redact(self.error) or None,
            "began": moment(self.began),
            "ended": moment(self.ended),
        }


class Jobs:
    """Hold the jobs of this page server; when it ends, each job ends after its current step."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._ending = asyncio.Event()

    def refuse_more(self) -> None:
        """
        Refuse a further job if too many are running.

        Raises:
            Refusal: Too many are running.
        """
        if sum(one.state == "running" for one in self._jobs.values()) >= MOST:
            raise Refusal(429, f"{MOST} jobs are under way", "wait for one to end, or stop one")

    async def run(
        self,
        job: Job,
        work: Callable[[Progress], Awaitable[None]],
        store_end: Callable[[Job], Awaitable[object]],
    ) -> Job:
        """
        Start a job, and wait a little for its end.

        Args:
            job: The job.
            work: The action.
            store_end: Called once it has ended.

        """
        self._jobs[job.id] = job
        ended = [one.id for one in self._jobs.values() if one.state != "running"]
        for one in ended[: max(0, len(ended) - KEPT)]:
            del self._jobs[one]
        job.task = asyncio.ensure_future(self._worked(job, work, store_end))
        await asyncio.wait([job.task], timeout=AT_ONCE)
        return job

    async def _worked(
        self,
        job: Job,
        work: Callable[[Progress], Awaitable[None]],
        store_end: Callable[[Job], Awaitable[object]],
    ) -> None:
        try:
            await work(job.progress)
            job.state = "stopped" if job.progress.stopping.is_set() else "done"
        except RsqPipeError as exc:
            job.state, job.error = "failed", str(exc)
        except BaseException:
            job.state, job.error = "failed", "a fault in rsq-pipe; its log says more"
            raise
        finally:
            job.ended = time.time()
            await self._store_end(job, store_end)

    async def _store_end(self, job: Job, store_end: Callable[[Job], Awaitable[object]]) -> None:
        """Store that a job has ended; keep trying while the server is away, or it would seem to run on."""
        while True:
            try:
                await store_end(job)
                return
            except RsqPipeError as exc:
                if not exc.retryable or self._ending.is_set():
                    _log.warning("how a job ended is not noted", job=job.id, state=job.state, why=str(exc))
                    return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), STORE_END_EVERY)

    def find(self, pipeline: str, name: str) -> Job:
        """
        Find a job.

        Raises:
            Refusal: The job does not exist.
        """
        job = self._jobs.get(name)
        if job is None or job.pipeline != pipeline:
            raise Refusal(404, f"there is no job {name[:40]!r}", "GET .../audit says what became of it")
        return job

    def of(self, pipeline: str) -> list[Job]:
        """List the jobs of a pipeline, newest first."""
        return [job for job in reversed(self._jobs.values()) if job.pipeline == pipeline]

    async def end(self) -> None:
        """Stop all jobs, each after its current step."""
        self._ending.set()
        tasks = [job.task for job in self._jobs.values() if job.task and not job.task.done()]
        for job in self._jobs.values():
            job.progress.stopping.set()
        if tasks:
            await asyncio.wait(tasks, timeout=10)
