"""DedupeStorm: a storm over a pipeline that lets each key through once, and what a plain loop finds."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass

from tests.chaos.state_storm import StateStorm

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    flaky: {call: "handlers:flaky", workers: 2}
    once: {dedupe: {key: k, within: 16m}, workers: 2}
    out: {sink: {type: jsonl, path: out/all.jsonl, fsync: false}}
"""


def keys(count: int) -> list[int]:
    """The key of each record: two thirds have come shortly before, or long ago."""
    draw = random.Random(count)
    return [
        draw.randrange(n // 3 + 1) if draw.random() < 0.1 else max(0, n // 3 - draw.randrange(400))
        for n in range(count)
    ]


@dataclass(frozen=True)
class Difference:
    """
    State what is wrong.

    Args:
        lost: Keys of which no record went on.
        doubled: Keys of which several did.
        strange: Records that went on with a key that is not theirs.
        miscounted: How many more were counted as duplicates than there are.
    """

    lost: int = 0
    doubled: int = 0
    strange: int = 0
    miscounted: int = 0

    @property
    def is_none(self) -> bool:
        return not (self.lost or self.doubled or self.strange or self.miscounted)

    @property
    def is_harm(self) -> bool:
        return bool(self.lost or self.doubled)

    def __str__(self) -> str:
        return (
            f"{self.lost} lost, {self.doubled} doubled, {self.strange} strange, {self.miscounted} miscounted"
        )


class DedupeStorm(StateStorm):
    """Let each key through once, by several processes that are killed and paused."""

    def _write_project(self, count: int, *, fuse: bool) -> None:
        with (self.project.root / "in.jsonl").open("w") as file:
            file.writelines(json.dumps({"n": n, "k": key}) + "\n" for n, key in enumerate(keys(count)))
        self._write_stages(STAGES)

    def difference(self) -> Difference:
        """Compare what went on with the keys that a plain loop finds."""
        given = keys(self._count)
        found = self.project.lines("out/all.jsonl")
        times = Counter(line["k"] for line in found)
        return Difference(
            lost=len({*given} - times.keys()),
            doubled=sum(many - 1 for many in times.values()),
            strange=sum(given[line["n"]] != line["k"] for line in found),
            miscounted=self._dropped()["once"] - (len(given) - len({*given})),
        )
