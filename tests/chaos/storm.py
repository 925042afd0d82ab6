"""Storm: real runs of one pipeline, killed and paused, and the pipeline's final account."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.support.checker import Account, Expected, check
from tests.support.preloaded import PreloadedProcess
from tests.support.project import Project
from tests.support.signals import TO_END

HANDLERS = """
    import time

    def split(record, ctx):
        time.sleep(0.0004)
        if record["n"] % 11 == 0:
            return None
        if record["n"] % 7 == 0:
            return [{**record, "part": part} for part in range(3)]
        return record

    def flaky(record, ctx):
        if record["n"] % 5 == 0 and ctx.attempt == 1:
            raise RuntimeError("not yet")
        if record["n"] % 97 == 1:
            raise ValueError("never")
        return record

    def judge(record, ctx):
        from rsq_pipe import Reject
        return Reject("not ours") if record["n"] % 13 == 0 else {**record, "rid": ctx.rid}
"""

TOP = """
    max_backlog: 120
    reclaim: {idle: 300ms}
    drain_timeout: 3s
"""
DEFAULTS = """
    defaults:
      batch: {size: 20, wait: 5ms}
      fuse: FUSE
      retry: {attempts: 3, backoff: {first: 20ms, max: 60ms}}
"""
STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    split: {call: "handlers:split", workers: 2}
    flaky: {call: "handlers:flaky"}
    judge: {call: "handlers:judge"}
    sort: {route: [{to: odd, when: n % 2 == 1}, {to: even, otherwise: true}]}
    odd: {from: sort.odd, sink: {type: jsonl, path: out/odd.jsonl, fsync: false}}
    even: {from: sort.even, sink: {type: jsonl, path: out/even.jsonl, fsync: false}}
"""
LETTERS = ("read:dlq", "split:dlq", "flaky:dlq", "judge:dlq", "sort:dlq", "odd:dlq", "even:dlq")
PATIENCE = 20.0
"""
Seconds the next act waits for records to come through, unless all are through.

A process that starts does nothing yet, and takes ten seconds on a busy machine: an act before harms nobody.
"""

SHAKEN_RUN = [sys.executable, "-m", "tests.support.shaken_run"]
REPOSITORY = Path(__file__).parents[2]


def expectation(count: int) -> Expected:
    """Say what becomes of the records 0 .. COUNT-1; written apart from the handlers, on purpose."""
    places, dropped = {}, 0
    for n in range(count):
        if n % 11 == 0:
            dropped += 1
            continue
        rid = f"read:in.jsonl:{n + 1}"
        for name in [f"{rid}.{part}" for part in range(3)] if n % 7 == 0 else [rid]:
            if n % 97 == 1:
                places[name] = "flaky:dlq"
            elif n % 13 == 0:
                places[name] = "judge:dlq"
            else:
                places[name] = "out/odd.jsonl" if n % 2 else "out/even.jsonl"
    return Expected(places, {"split": dropped})


class Storm:
    """
    Run a pipeline in several processes, and do to them what power cuts, schedulers and operators do.

    Args:
        root: A folder for the pipeline's files.
        server: A StreamServer, or what else has its `url` and what the acts do to it; it must keep what it
            accepted when it is killed.
        seed: Chooses whom it hits, and when.
        count: How many records there are.
        sabotage: The safety to switch off; see tests/support/shaken_run.py.
        lease: Seconds a lease lasts.
        fuse: Whether all stages but source and sinks run in one worker, or each reads a stream of its own.
    """

    def __init__(
        self,
        root: Path,
        server: Any,
        *,
        seed: int,
        count: int,
        processes: int,
        sabotage: str = "none",
        lease: float = 1.0,
        fuse: bool = False,
    ) -> None:
        self.project = Project(root, f"storm-{seed}")
        self._write_project(count, fuse=fuse)
        self.server = server
        self._count = count
        self._sabotage = sabotage
        self._lease = lease
        self.draw = random.Random(seed)
        self._log = (root / "log.txt").open("w+")
        self._runs = [self._start() for _ in range(processes)]
        self._asleep: list[tuple[float, subprocess.Popen[bytes]]] = []

    def _write_project(self, count: int, *, fuse: bool) -> None:
        self.project.records(range(count))
        self.project.handlers(HANDLERS)
        self.project.spec(STAGES, top=TOP, defaults=DEFAULTS.replace("FUSE", str(fuse).lower()))

    def rage(self, times: int, *acts: Callable[[Any], None], patience: float = PATIENCE) -> int:
        """Do one of `acts` so often, or until all is done, each time some records later; return how often."""
        done = 0
        for _ in range(times):
            if all(run.poll() is not None for run in self._runs):
                break
            self._pass(self.draw.uniform(0.0, 0.1))
            self.draw.choice(acts)(self)
            done += 1
            self._revive()
            self._come_through(patience, self._size() + self.draw.randint(1, 3_000))
        self._wake(float("inf"))
        return done

    def flow(self) -> None:
        """Wait until every run is up and the sinks have written on for a while, or have ended."""
        end, enough = time.monotonic() + 50, self._size() + self.draw.randint(5_000, 30_000)
        while self.awake() and time.monotonic() < end and not self._flows(enough):
            self._pass(0.05)

    def kill(self) -> None:
        """End one run by SIGKILL."""
        if alive := self.awake():
            self.draw.choice(alive).kill()

    def pause(self) -> None:
        """Stop one run for longer than its entries, and often its leases, are left to it."""
        if alive := self.awake():
            run = self.draw.choice(alive)
            run.send_signal(signal.SIGSTOP)
            self._asleep.append((time.monotonic() + self.draw.uniform(0.4, 1.6), run))

    def kill_server(self) -> None:
        """End the server by SIGKILL, and start it again."""
        self.server.kill()
        self._pass(self.draw.uniform(0.0, 0.3))
        self.server.start()

    def freeze_server(self) -> None:
        """Stop the server for about as long as a lease lasts: who had it may or may not have it still."""
        self.server.pause()
        self._pass(self.draw.uniform(0.9, 1.2) * self._lease)
        self.server.resume()

    def codes(self) -> set[int | None]:
        """Say how the runs have ended; None for those that still run."""
        return {run.poll() for run in self._runs}

    def settle_down(self, timeout: float = TO_END) -> None:
        """End every run by SIGKILL, then run once more, to the end."""
        self.end()
        last = self._start()
        self._runs = [last]
        code = last.wait(timeout=timeout)
        assert code in {0, 4}, f"the last run ended with code {code}:\n{self.log()[-3000:]}"

    def finish(self, timeout: float = TO_END) -> None:
        """Let every run come to its end by itself."""
        for run in self._runs:
            code = run.wait(timeout=timeout)
            assert code in {0, 4}, f"a run ended with code {code}:\n{self.log()[-3000:]}"

    def account(self) -> Account:
        """Compare what is in files, dead-letter streams and counters with what should be."""
        return check(expectation(self._count), list(self._found()), self._dropped())

    def log(self) -> str:
        self._log.flush()
        return (self.project.root / "log.txt").read_text()

    def end(self) -> None:
        for run in self._runs:
            run.kill()
            run.wait()
        self._asleep.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._log.close()

    def _start(self) -> subprocess.Popen[bytes]:
        return PreloadedProcess(
            [*SHAKEN_RUN, self._sabotage, "run", str(self.project.path), "--redis", self.server.url],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY),
                "SHAKEN_LEASE": str(self._lease),
                "SHAKEN_ROOT": str(self.project.root),
            },
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def _flows(self, enough: int) -> bool:
        return self._size() >= enough and "standing by" in self.log()

    def awake(self) -> list[subprocess.Popen[bytes]]:
        """The runs that go on, and are not paused."""
        asleep = [run for _, run in self._asleep]
        return [run for run in self._runs if run.poll() is None and run not in asleep]

    def _revive(self) -> None:
        self._runs = [self._start() if run.poll() == -signal.SIGKILL else run for run in self._runs]

    def _come_through(self, seconds: float, size: int) -> None:
        """Wait until the sinks have written on up to a size, or there is nothing left to write."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end and self._size() < size and not self._is_done():
            self._wake(now)
            time.sleep(0.01)

    def _is_done(self) -> bool:
        return None not in self.codes()

    def _pass(self, seconds: float, until: float = float("inf")) -> None:
        """Let time pass, or the sinks write on up to a size; the moment itself is what the seed chooses."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end and self._size() < until:
            self._wake(now)
            time.sleep(min(0.01, end - now))

    def _size(self) -> int:
        return sum(path.stat().st_size for path in self.project.root.glob("out/*.jsonl"))

    def _wake(self, until: float) -> None:
        for due, run in [one for one in self._asleep if one[0] <= until]:
            run.send_signal(signal.SIGCONT)
            self._asleep.remove((due, run))

    def _found(self) -> Iterator[tuple[str, str]]:
        for place in ("out/odd.jsonl", "out/even.jsonl"):
            for line in self.project.lines(place):
                yield line["rid"], place
        with self.redis() as client:
            for place in LETTERS:
                for _, fields in client.xrange(f"{{{self.project.pipeline}}}:{place}"):
                    yield fields["rsq-rid"], place

    def redis(self) -> Any:
        """Connect to the server."""
        return redis.Redis.from_url(self.server.url, decode_responses=True)

    def _dropped(self) -> dict[str, int]:
        with self.redis() as client:
            counters = client.hgetall(f"{{{self.project.pipeline}}}:meta")
        return {
            name.partition(":")[0]: int(value)
            for name, value in counters.items()
            if name.endswith(":dropped")
        }
