"""Answers: what a lookup's server has said of late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rsq_pipe.spec.lookup import CachePolicy
from rsq_pipe.verbs.keys import Key

Row = dict[str, Any]


class Answers:
    """
    Remember rows, and keys that have none, for a while.

    Args:
        policy: How many, and for how long.
        clock: Seconds that only grow.
    """

    def __init__(self, policy: CachePolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._kept: dict[Key, tuple[float, Row | None]] = {}

    def known(self, keys: Iterable[Key]) -> dict[Key, Row | None]:
        """Say what is known of some keys."""
        now, kept = self._clock(), self._kept
        found = {key: kept[key] for key in keys if key in kept}
        return {key: row for key, (until, row) in found.items() if until > now}

    def keep(self, answers: Mapping[Key, Row | None]) -> None:
        """Remember answers; the oldest are forgotten where there are too many."""
        if not self._policy.size or not self._policy.ttl:
            return
        until, kept = self._clock() + self._policy.ttl, self._kept
        for key, row in answers.items():
            kept.pop(key, None)  # so that it becomes the latest
            kept[key] = (until, row)
        while len(kept) > self._policy.size:
            del kept[next(iter(kept))]
