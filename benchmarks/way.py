"""The way of a batch: which functions of ours a batch of an unfused `call` stage crosses, in which files.

Not how fast anything is, but what somebody has to read who follows a batch. Counted is a function that is
called, or gone on with after a wait, at least once in two batches, all the time; comprehensions, lambdas and
methods that Python calls by itself (`__len__`) are left out. The list is printed below the figures.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections import Counter
from functools import partial
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from redis.asyncio import Redis

import rsq_pipe
from benchmarks import orders, ours
from benchmarks.harness import Harness, command
from benchmarks.measure import Figures
from benchmarks.runner_here import length, run_here

PACKAGE = str(Path(rsq_pipe.__file__).parent) + os.sep
HANDLER = "touch"
BATCH = 400
"""Records of each batch, fixed: by default a batch of a quick handler grows with what there is to read."""
ROUND = 6
"""Batches of all stages that are looked at together: what is not of a batch comes in bursts, now and then."""


class Calls:
    """Count the calls of our functions in this thread and in all that are started from now on."""

    def __init__(self) -> None:
        self.is_counting = False
        self._calls: Counter[CodeType] = Counter()
        self._rounds: Counter[CodeType] = Counter()  # in how many each was called
        self._last: dict[CodeType, int] = {}
        self._handled = 0
        threading.setprofile(self._seen)
        sys.setprofile(self._seen)

    def functions(self) -> dict[str, list[str]]:
        """List file -> names, each with calls a batch, of what nearly every batch crosses."""
        batches = self._handled / BATCH
        found = sorted(
            (code.co_filename.removeprefix(PACKAGE), code.co_qualname, self._calls[code] / batches)
            for code, rounds in self._rounds.items()
            if code.co_filename.startswith(PACKAGE) and _is_named(code.co_name)
            if rounds >= batches / ROUND * 0.75 and self._calls[code] >= batches / 2
        )
        by_file = groupby(found, key=lambda one: one[0])
        return {file: [f"{name} {calls:.1f}" for _, name, calls in some] for file, some in by_file}

    def _seen(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not self.is_counting:
            return
        code = frame.f_code
        self._handled += code.co_name == HANDLER
        now = self._handled // (BATCH * ROUND)
        if self._last.get(code) != now:
            if _is_beside(frame):
                return
            self._last[code] = now
            self._rounds[code] += 1
        self._calls[code] += 1


def _is_beside(frame: FrameType | None) -> bool:
    """Tell whether something is called by what the runner does itself: its workers are tasks of their own."""
    outermost: CodeType | None = None
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            outermost = frame.f_code
        frame = frame.f_back
    return outermost is not None and outermost.co_filename.endswith("runner.py")


def _is_named(name: str) -> bool:
    return not (name.startswith("<") or (name.startswith("__") and name.endswith("__")))


def way(url: str, total: int, listed: Path) -> Figures:
    """Run three stages, and write the list of what their batches crossed between two counts."""
    calls = Calls()

    async def count(client: Redis, stream: str) -> int:
        entries = await length(client, stream)
        calls.is_counting = total // 5 <= entries < total * 4 // 5
        return entries

    with tempfile.TemporaryDirectory(prefix="rsq-") as folder:
        stages = ours.three_calls("way-in", "way-out")
        settings = {"max_backlog": ours.ROOM, "defaults": {"fuse": False, "batch": {"size": BATCH}}}
        spec = ours.project(Path(folder), "way", stages, **settings)
        orders.push(url, "way-in", total)
        run_here(spec, url, "way-out", total, count=count)
    found = calls.functions()
    listed.write_text("".join("\n    ".join([file, *names]) + "\n" for file, names in found.items()))
    return {"functions": sum(map(len, found.values())), "files": len(found)}


def main(harness: Harness) -> None:
    listed = harness.path("way") / "functions.txt"
    job = partial(way, harness.url, harness.options.size(60_000, 10_000), listed)
    harness.turns("way", "Functions that a batch crosses", {"rsq-pipe": job})
    print(listed.read_text(), flush=True)


if __name__ == "__main__":
    command(main, __doc__)
