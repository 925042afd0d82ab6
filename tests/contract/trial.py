"""Trial: real runs of one pipeline, which are killed and paused at moments that a seed chooses."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import redis

from tests.support.guarded_server import GuardedServer, least
from tests.support.preloaded import PreloadedProcess
from tests.support.project import Project
from tests.support.signals import eventually

REPOSITORY = Path(__file__).parents[2]
TOP = "reclaim: {idle: 500ms}"
DEFAULTS = """
defaults:
  batch: {size: 20}
  retry: {attempts: 3, deliveries: 1000, backoff: {first: 20ms, max: 40ms, jitter: 0}}
  breaker: {first: 100ms, max: 500ms}
"""
"""A process that is killed again and again makes no record one that kills its worker."""
TO_END = 90.0
PATIENCE = 40.0


class Ended(NamedTuple):
    """How a run ended, and what it said."""

    code: int
    said: str


class Trial:
    """
    Run a pipeline again and again, on one server.

    Args:
        root: An empty folder for the project.
        server: The pipeline's own.
        name: The pipeline's.
        environ: Further variables, with the secrets.
        stage: Whose count says how far it has come.
        count: The end of that.
        sabotage: The safety to switch off; see struck_run.py.
    """

    def __init__(
        self,
        root: Path,
        server: GuardedServer,
        name: str,
        *,
        environ: Mapping[str, str],
        stage: str,
        count: int,
        sabotage: str = "none",
    ) -> None:
        self.project = Project(root, name)
        self.server = server
        self.count = count
        self._stage = stage
        self._environ = dict(environ)
        self._sabotage = sabotage
        self._output = (root / "stdout.txt").open("ab")
        self._logs: list[Path] = []
        self._runs: list[subprocess.Popen[bytes]] = []

    def spec(self, stages: str, *, top: str = TOP, defaults: str = DEFAULTS) -> None:
        self.project.spec(stages, top=top, defaults=defaults)

    def records(self, records: Iterable[Mapping[str, Any]], path: str = "in.jsonl") -> None:
        """Write the file that a source reads."""
        with (self.project.root / path).open("w") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)

    def begin(self) -> subprocess.Popen[bytes]:
        """Start a process; what it prints is in stdout.txt, and what it says in a log of its own."""
        return self._begin("tests.contract.struck_run")

    def run(self) -> Ended:
        """Run to the end."""
        return self.end(self.begin())

    def end(self, process: subprocess.Popen[bytes]) -> Ended:
        """Wait until a process ends."""
        try:
            code = process.wait(timeout=TO_END)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end; it says:\n{self.said()[-3000:]}") from None
        return Ended(code, self._logs[self._runs.index(process)].read_text())

    def said(self) -> str:
        """All that the processes said."""
        return "".join(log.read_text() for log in self._logs)

    def printed(self) -> str:
        return (self.project.root / "stdout.txt").read_text()

    def settled(self) -> int:
        """Count the records that the stage is done with."""
        with redis.Redis.from_url(self.server.address) as client:
            return int(client.hget(f"{{{self.project.pipeline}}}:meta", f"{self._stage}:in") or 0)

    def dead_letters(self, stage: str) -> list[dict[str, str]]:
        with redis.Redis.from_url(self.server.address, decode_responses=True) as client:
            return [fields for _, fields in client.xrange(f"{{{self.project.pipeline}}}:{stage}:dlq")]

    def killed(self, times: int, seed: str) -> int:
        """Kill one process after the other, each some records later; say how many were killed."""
        draw = random.Random(seed)
        kills = 0
        for _ in range(times):
            process = self.begin()
            self._come_on(draw, self.settled() + draw.randint(0, 2 * self.count // (3 * times)), [process])
            process.kill()
            kills += process.wait() == -signal.SIGKILL
        return kills

    def paused(self, times: int, seed: str, *, switch: float) -> tuple[int, int]:
        """
        Let two run side by side, and pause the one that is ahead until the other one has gone on.

        Args:
            times: How many are paused.
            seed: Chooses when.
            switch: Seconds that the other one is given; a lease lasts one.

        Returns:
            How many were paused, and beside how many of them the other one went on. All have ended.
        """
        draw = random.Random(seed)
        ahead = self.begin()
        self._come_on(draw, 1, [ahead])
        other = self.begin()
        pauses = passed = 0
        for _ in range(times):
            before = self.settled()
            self._come_on(draw, before + draw.randint(1, self.count // (3 * times)), [ahead, other])
            if ahead.poll() is not None or other.poll() is not None:
                break
            ahead.send_signal(signal.SIGSTOP)
            pauses += 1
            stopped = self.settled()
            with suppress(AssertionError):
                eventually(lambda at=stopped: self.settled() > at, timeout=switch)  # type: ignore[misc]
            passed += self.settled() > stopped
            ahead.send_signal(signal.SIGCONT)
            ahead, other = other, ahead
        for process in (ahead, other):
            code, said = self.end(process)
            assert code == 0, said
        return pauses, passed

    def stopped(
        self, stop: Callable[[], object], start: Callable[[], object], seconds: float, seed: str
    ) -> Ended:
        """Run to the end, with an outage in between."""
        process = self.begin()
        self._come_on(random.Random(seed), 1, [process])
        assert process.poll() is None, self.said()
        stop()
        began = time.monotonic()
        eventually(lambda: time.monotonic() - began > seconds, timeout=seconds + 5)
        assert process.poll() is None, f"it ended in the outage: {self.said()[-3000:]}"
        start()
        return self.end(process)

    def close(self) -> None:
        for process in self._runs:
            process.kill()
            process.wait()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, module: str, **further: str) -> subprocess.Popen[bytes]:
        """Start a process of a module, with further variables."""
        log = self.project.root / f"log-{len(self._logs)}.txt"
        self._logs.append(log)
        words, environ = least(
            ["run", self.project.path, "--redis", self.server.url],
            {**os.environ, "PYTHONPATH": str(REPOSITORY), **self._environ, **further},
        )
        with log.open("wb") as said:
            process = PreloadedProcess(
                [sys.executable, "-m", module, self._sabotage, *words],
                cwd=self.project.root,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=said,
                start_new_session=True,
            )
        self._runs.append(process)
        return process

    def _come_on(self, draw: random.Random, goal: int, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """Wait until so many are settled, or a process has ended, and a moment that the seed chooses."""
        eventually(
            lambda: (
                self.settled() >= min(goal, self.count) or any(one.poll() is not None for one in processes)
            ),
            timeout=PATIENCE,
            what=f"{goal} records are settled; it says: {self.said()[-2000:]}",
        )
        time.sleep(draw.uniform(0, 0.05))
