"""JoinStorm: a storm over a pipeline that joins two inputs, and what a plain loop finds."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass

from tests.chaos.state_storm import StateStorm

STAGES = """
    orders: {source: {type: jsonl, path: orders.jsonl}}
    flaky: {call: "handlers:flaky", workers: 2}
    payments: {source: {type: jsonl, path: payments.jsonl}}
    paid: {join: {left: flaky, right: payments, on: k, within: 16m, as: {right: p}}, workers: 2}
    out: {sink: {type: jsonl, path: out/all.jsonl, fsync: false}}
    unpaid: {from: paid.left, sink: {type: jsonl, path: out/left.jsonl, fsync: false}}
"""


def sides(count: int) -> tuple[list[int], list[int]]:
    """The keys of both sides: most meet one other, some none, some several; the two come in other orders."""
    draw = random.Random(count)
    half = count // 2
    left = [max(0, n - draw.randrange(300)) if draw.random() < 0.2 else n for n in range(half)]
    right = [n for n in range(half) if n % 10] + [draw.randrange(half * 2) for _ in range(half // 10)]
    right.sort(key=lambda n: n + draw.randrange(2_000))
    return left, right


@dataclass(frozen=True)
class Difference:
    """
    State what is wrong.

    Args:
        lost: Pairs that were not made, and left records that found no other and did not leave.
        doubled: Those that were made, or left, more often than they should.
        miscounted: How many more right records were counted as unmatched than there are.
    """

    lost: int = 0
    doubled: int = 0
    miscounted: int = 0

    @property
    def is_none(self) -> bool:
        return not (self.lost or self.doubled or self.miscounted)

    @property
    def is_harm(self) -> bool:
        return bool(self.lost or self.doubled)

    def __str__(self) -> str:
        return f"{self.lost} lost, {self.doubled} doubled, {self.miscounted} miscounted"


class JoinStorm(StateStorm):
    """Join two inputs, by several processes that are killed and paused."""

    def _write_project(self, count: int, *, fuse: bool) -> None:
        for name, keys in zip(("orders", "payments"), sides(count), strict=True):
            with (self.project.root / f"{name}.jsonl").open("w") as file:
                file.writelines(json.dumps({"n": n, "k": key}) + "\n" for n, key in enumerate(keys))
        self._write_stages(STAGES)

    def difference(self) -> Difference:
        """Compare pairs, and what found no other, with those that a plain loop finds."""
        left, right = sides(self._count)
        places: dict[int, list[int]] = {}
        for n, key in enumerate(right):
            places.setdefault(key, []).append(n)
        wanted = Counter(f"{n}&{other}" for n, key in enumerate(left) for other in places.get(key, ()))
        wanted += Counter(f"{n}" for n, key in enumerate(left) if key not in places)
        found = Counter(f"{line['n']}&{line['p']['n']}" for line in self.project.lines("out/all.jsonl"))
        found += Counter(f"{line['n']}" for line in self.project.lines("out/left.jsonl"))
        known = {*left}
        return Difference(
            lost=(wanted - found).total(),
            doubled=(found - wanted).total(),
            miscounted=self._dropped().get("paid", 0) - sum(key not in known for key in right),
        )
