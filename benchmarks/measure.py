"""What a measurement is: a job in its own process, which returns figures."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

import redis

Figures = dict[str, float]
Job = Callable[[], Figures]
MICRO = 1e6
PATIENCE = 600.0


class BenchmarkError(Exception):
    """A contender did not do its work."""


MANY_NEED = ["benchmarks.harness", "benchmarks.single", "benchmarks.runner_here"]
"""What is imported once, if the purpose is not to measure speed."""


def alone(job: Job, patience: float, *, fresh: bool = True) -> Figures:
    """
    Do a job in a new process, so that no contender inherits another's memory, modules or connections.

    Args:
        job: What to do.
        patience: Seconds after which it is given up.
        fresh: Whether the process starts from nothing; otherwise it is forked from one with common imports.
    """
    context: BaseContext = multiprocessing.get_context("spawn" if fresh else "forkserver")
    if not fresh:
        context.set_forkserver_preload(MANY_NEED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(job, sender))  # type: ignore[attr-defined]
    process.start()
    sender.close()
    try:
        if not receiver.poll(patience):
            raise BenchmarkError(f"{job} did not end within {patience:g} s")
        outcome = receiver.recv()
    except EOFError:
        raise BenchmarkError(f"{job} ended without figures") from None
    finally:
        _kill(process)
        process.join()
    if isinstance(outcome, str):
        raise BenchmarkError(f"{job} failed:\n{outcome}")
    figures: Figures = outcome
    return figures


def _kill(process: BaseProcess) -> None:
    """End a job, and what it started and did not end."""
    process.kill()  # by itself: until it has begun, it has no group of its own, and has started nothing
    with suppress(ProcessLookupError, PermissionError):  # it has ended; macOS raises the second one
        os.killpg(process.pid or 0, signal.SIGKILL)


def _send(job: Job, sender: Connection) -> None:
    os.setsid()
    try:
        sender.send(job())
    except Exception:  # noqa: BLE001  whatever it is, the parent raises it
        sender.send(traceback.format_exc())


class Stopwatch:
    """Clock and CPU time of this process since this was made, and of a server, if one is named."""

    def __init__(self, server: str = "") -> None:
        self._server = server
        self._spent = server_cpu(server) if server else 0.0
        self._used = time.process_time()
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds by the clock."""
        return time.perf_counter() - self._began

    def figures(self, records: int) -> Figures:
        """Return the rate, and what a record cost."""
        seconds, used = self.seconds, time.process_time() - self._used
        spent = server_cpu(self._server) - self._spent if self._server else None
        return rates(records, seconds, used, spent)


def rates(records: int, seconds: float, used: float, server: float | None = None) -> Figures:
    """Name the figures that every throughput benchmark returns."""
    figures = {"records/s": records / seconds, "CPU us/record": MICRO * used / records}
    if server is not None:
        figures["server us/record"] = MICRO * server / records
    return figures


async def holds(
    length: Callable[[str], Awaitable[int]], stream: str, total: int, ended: Callable[[], bool]
) -> int:
    """Wait until a stream has this many entries; an error if its writer ends first, or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while (found := await length(stream)) < total:
        if ended() or time.monotonic() > deadline:
            raise BenchmarkError(f"{stream} holds {found} of {total} records, and its writer ended or hangs")
        await asyncio.sleep(0.01)
    return found


def server_cpu(url: str) -> float:
    """CPU seconds the server has used, without its helper processes."""
    with redis.Redis.from_url(url) as client:
        info = client.info("cpu")
    return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])
