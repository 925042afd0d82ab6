"""SourceTrial: a pipeline from a source to a file, whose processes strike themselves."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.contract import trial
from tests.contract.sources.rig import Rig
from tests.contract.trial import TO_END, Ended
from tests.support.command_line import rsq_pipe
from tests.support.signals import eventually

BATCH = 20
"""Records that enter together, where the source has as many."""


class Strike(NamedTuple):
    """A moment of a source; see struck_run.py."""

    signal: str
    moment: str
    stores: int
    seconds: float

    @classmethod
    def drawn(cls, draw: random.Random, rig: Rig, name: str) -> Strike:
        """Draw one: before or after the source stores records, or anywhen in between."""
        moment, stores = draw.choice(["before", "after"]), draw.randint(1, rig.stores)
        return cls(name, moment, stores, draw.choice([0.0, 0.0, draw.uniform(0.0, 0.05)]))


class Account(NamedTuple):
    """What is wrong; a record whose id another one has is one too many."""

    lost: int
    doubled: int


class SourceTrial(trial.Trial):
    """
    Run a pipeline that reads what a rig has, again and again.

    Args:
        rig: The rig.
        server: The fixture of the pipeline's own server, if it is not the rig's.
        options: The source's settings, if not the rig's.
        environ: The variables of each process, if not the rig's.
        sabotage: The safety to switch off; see struck_run.py.
    """

    def __init__(
        self,
        rig: Rig,
        *,
        server: str = "",
        options: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        sabotage: str = "none",
    ) -> None:
        place = rig.place
        super().__init__(
            place.root / "project",
            place.fixture(server or rig.pipeline_server),
            place.name,
            environ={},
            stage="read",
            count=rig.count,
            sabotage=sabotage,
        )
        self.rig = rig
        self._given = environ
        self._filled = 0
        source = {"type": rig.type, **(rig.options if options is None else options)}
        self.spec(
            f"""
            read: {{source: {json.dumps(source)}, batch: {{size: {BATCH}}}}}
            out: {{sink: {{type: jsonl, path: out.jsonl, rid: true, fsync: false}}}}
            """
        )

    def begin(self, strikes: Sequence[Strike] = ()) -> subprocess.Popen[bytes]:
        """Start a process that strikes itself so."""
        self._environ = dict(self.rig.environ() if self._given is None else self._given)
        return self._begin("tests.contract.sources.struck_run", STRIKES=json.dumps(strikes))

    def fill(self) -> None:
        """Have the first half of the records be there; when called again the others, and then no more."""
        at, self._filled = self._filled, self.rig.count if self._filled else (self.rig.count + 1) // 2
        if at < self._filled:
            self.rig.fill(range(at, self._filled))

    def is_struck(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait until a process is paused or killed (True), or has ended by itself (False)."""
        eventually(partial(has_changed, process), timeout=TO_END, what="a strike, or the end of the run")
        return process.returncode in {None, -signal.SIGKILL}

    def drawn(self, name: str, times: int, draw: random.Random) -> list[Strike]:
        """Draw so many strikes."""
        return [Strike.drawn(draw, self.rig, name) for _ in range(times)]

    def killed_at(self, strikes: Sequence[Strike]) -> int:
        """Have one process after the other kill itself, or until all is through; say how many did."""
        kills = 0
        for strike in strikes:
            if not self.is_struck(self.begin([strike])):
                break
            kills += 1
            self.fill()
        return kills

    def paused_at(self, strikes: Sequence[Strike]) -> int:
        """
        Have two processes take turns: each pauses itself, and the other one is woken and takes over.

        Returns:
            How often one was paused. All that are left are awake.
        """
        awake = self.begin(strikes[::2])
        pauses = int(self.is_struck(awake))
        self.fill()
        asleep, awake = awake, self.begin(strikes[1::2])
        for _ in strikes[1:]:
            if not self.is_struck(awake):
                break
            pauses += 1
            asleep.send_signal(signal.SIGCONT)
            asleep, awake = awake, asleep
        asleep.send_signal(signal.SIGCONT)
        return pauses

    def outlasted(self, seconds: float) -> None:
        """Read through an outage, which begins while the source is about to store its third batch."""
        run = self.begin([Strike("SIGSTOP", "before", 3, 0)])
        assert self.is_struck(run), self.said()
        self.rig.stop()
        run.send_signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            run.wait(timeout=seconds)
        try:
            assert run.returncode is None, f"it ended in the outage: {self.said()[-3000:]}"
        finally:
            self.rig.start()
        self.settle_down()

    def settle_down(self, *, code: int = 0) -> None:
        """Have all processes come to their end: by themselves, or once all records are there and settled."""
        runs = [run for run in self._runs if run.returncode != -signal.SIGKILL]
        while 0 < self._filled < self.rig.count:
            self.fill()
        if not self.rig.ends:
            eventually(lambda: self._have_ended(runs) or self._is_complete(), TO_END, "all records")
            eventually(lambda: self._have_ended(runs) or self._is_drained(), TO_END, "the settlement of all")
            for run in runs:
                assert run.poll() is None, f"it ended by itself: {self.said()[-3000:]}"
                run.terminate()
        for run in runs:
            ended, said = self.end(run)
            assert ended == code, said

    def account(self) -> Account:
        """Compare what came through with what was there."""
        lines = self.project.lines()
        keys = [self.rig.key(line) for line in lines]
        found = set(keys)
        expected = self.rig.expected(found)
        assert found <= expected
        rids = {line["rid"] for line in lines}
        return Account(len(expected - found), len(lines) - min(len(found), len(rids)))

    def close(self) -> None:
        super().close()
        self.rig.close()

    def _is_complete(self) -> bool:
        lines = self.project.lines_so_far("out.jsonl")
        return self.rig.is_complete({self.rig.key(json.loads(one)) for one in lines if one.endswith("}")})

    def _have_ended(self, runs: Sequence[subprocess.Popen[bytes]]) -> bool:
        return all(run.poll() is not None for run in runs)

    def _is_drained(self) -> bool:
        words = ("status", self.project.path, "--redis", self.server.url, "--json")
        done = rsq_pipe(*words, cwd=self.project.root, timeout=TO_END, given="", **self._environ)
        return bool(json.loads(done.stdout)["drained"])


def has_changed(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether a process has been paused since this was last asked, or has ended."""
    if process.poll() is not None:
        return True
    if Path("/proc/self/stat").exists():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended, and `poll` says so in a moment
            return Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].startswith("T")
        return False
    pid, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
    if pid and not os.WIFSTOPPED(status):
        process.returncode = os.waitstatus_to_exitcode(status)
    return bool(pid)


__all__ = ["Account", "Ended", "SourceTrial", "Strike"]
