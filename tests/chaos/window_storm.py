"""WindowStorm: a storm over a pipeline that counts in windows, and what a plain loop counts beside it."""

from __future__ import annotations

import json
import math
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from tests.chaos.state_storm import StateStorm
from tests.chaos.storm import Storm
from tests.support.signals import eventually

WINDOW = 700
"""Records of one window."""

LENGTH = 1_500
"""Seconds of one window; of a session no more than its records."""

GROUPS = "abcdefg"

SENDS = 10.0
"""Seconds within which a run sends results, while there are any."""

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    flaky: {call: "handlers:flaky", workers: 2}
    windows:
      aggregate:
        by: [k]
        WINDOWS
        on: at
        late: 0s
        compute:
          count: count()
          sum: sum(x)
          least: min(x)
          most: max(n)
          first: first(n)
          kinds: count_distinct(x)
          half: median(n)
    out: {sink: {type: jsonl, path: out/all.jsonl, fsync: false, rid: true}}
"""


def record(n: int) -> dict[str, Any]:
    """The record N, a second after the one before; between two windows nothing comes for a while."""
    at = n % WINDOW + n // WINDOW * LENGTH
    return {"n": n, "at": at, "k": GROUPS[n * n % 11 % 7], "x": n * 7_919 % 1_009 / 10}


@dataclass(frozen=True)
class Difference:
    """
    State what is wrong.

    Args:
        lost: Windows and groups without a result.
        doubled: Those with several.
        wrong: Those whose result says something else.
        late: Records that came too late.
        miscounted: How many records more, or fewer, were counted as gone into the state than there are.
    """

    lost: frozenset[Any] = frozenset()
    doubled: frozenset[Any] = frozenset()
    wrong: Mapping[Any, tuple[Any, Any]] = field(default_factory=dict)
    late: int = 0
    miscounted: int = 0

    @property
    def is_none(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.late or self.miscounted)

    @property
    def is_harm(self) -> bool:
        return not self.is_none

    def __str__(self) -> str:
        told = (
            f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.wrong)} wrong, {self.late} late, "
            f"{self.miscounted} miscounted"
        )
        return ": ".join([told, *map(str, list(self.wrong.items())[:1])])


def pause_a_sender(storm: Storm) -> None:
    """Stop a run that is about to send results, until another has sent some; see send_results_unchecked."""
    marks = storm.project.root
    awake = {run.pid: run for run in storm.awake()}
    with suppress(AssertionError):  # none sends any more, or no other takes over
        pid = eventually(lambda: next((pid for pid in senders(marks) if pid in awake), 0), timeout=SENDS)
        awake[pid].send_signal(signal.SIGSTOP)
        try:
            other = eventually(lambda: next((one for one in senders(marks) if one != pid), 0), timeout=SENDS)
            eventually(lambda: other not in senders(marks), timeout=SENDS)
        finally:
            awake[pid].send_signal(signal.SIGCONT)


def senders(folder: Path) -> set[int]:
    """The processes that are about to send."""
    return {int(mark.name.partition("-")[2]) for mark in folder.glob("sending-*")}


class WindowStorm(StateStorm):
    """Count records in windows, by several processes that are killed and paused."""

    windows = f"every: {LENGTH}s"
    seconds, size = 0.001, 200
    seeds, acts, patience = range(200, 220), 10, 0.8
    lease = 0.4  # a pause outlasts it, and what another process does meanwhile
    sabotages: ClassVar = {
        "change_state_in_a_step_of_its_own": Storm.kill,
        "close_windows_at_once": Storm.kill,
        "send_results_unchecked": pause_a_sender,
    }

    def _write_project(self, count: int, *, fuse: bool) -> None:
        with (self.project.root / "in.jsonl").open("w") as file:
            file.writelines(json.dumps(record(n)) + "\n" for n in range(count))
        self._write_stages(STAGES.replace("WINDOWS", self.windows))

    def difference(self) -> Difference:
        """Compare the results with those of a plain loop."""
        wanted, found = self._plain(), list(self._results())
        times = Counter(key for key, _ in found)
        wrong = {key: (wanted.get(key), one) for key, one in found if not _alike(wanted.get(key), one)}
        with self.redis() as client:
            counted = client.hmget(f"{{{self.project.pipeline}}}:meta", "windows:dropped", "windows:stored")
        late, stored = (int(count or 0) for count in counted)
        doubled = frozenset(key for key, many in times.items() if many > 1)
        return Difference(
            frozenset(wanted.keys() - times.keys()), doubled, wrong, late, stored + late - self._count
        )

    def _plain(self) -> dict[Any, dict[str, Any]]:
        return plain(self._count, lambda some: some[0]["at"] // LENGTH * LENGTH)

    def _results(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        for line in self.project.lines("out/all.jsonl"):
            yield (line["window_start"], line["k"]), line


class SessionStorm(WindowStorm):
    """The same in sessions: a window begins with its first record."""

    windows = "gap: 10m"

    def _plain(self) -> dict[Any, dict[str, Any]]:
        return plain(self._count, lambda some: some[0]["at"])


def plain(count: int, start: Callable[[list[dict[str, Any]]], int]) -> dict[Any, dict[str, Any]]:
    """Count by a loop; written apart from the product, on purpose."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for n in range(count):
        one = record(n)
        groups.setdefault((n // WINDOW, one["k"]), []).append(one)
    return {
        (_text(start(some)), k): {
            "count": len(some),
            "sum": math.fsum(one["x"] for one in some),
            "least": min(one["x"] for one in some),
            "most": max(one["n"] for one in some),
            "first": min(one["n"] for one in some),
            "kinds": len({one["x"] for one in some}),
            "half": sorted(one["n"] for one in some)[(len(some) - 1) // 2],
        }
        for (_, k), some in groups.items()
    }


def _text(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _alike(wanted: dict[str, Any] | None, found: dict[str, Any]) -> bool:
    if wanted is None:
        return False
    near = math.isclose(wanted["half"], found["half"], rel_tol=0.01)
    return near and all(found[name] == value for name, value in wanted.items() if name != "half")
