"""Source schedule: each second is a record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from tests.contract.sources.rig import NO_SERVER, Rig, Why


class Origin(Rig):
    server = "the clock"
    nothing: ClassVar[Why] = {
        "away": NO_SERVER,
        "login": NO_SERVER,
        "bad": "it makes its records itself",
        "missing": "it reads nothing",
    }
    count = 5
    ends = False
    stores = 1

    @property
    def options(self) -> dict[str, Any]:
        return {"every": "1s", "catch_up": "all"}

    def key(self, record: Mapping[str, Any]) -> datetime:
        return datetime.fromisoformat(record["time"])

    def expected(self, found: set[Any]) -> set[Any]:
        """Each second from the first to the last."""
        if not found:
            return set()
        first, last = min(found), max(found)
        return {first + timedelta(seconds=n) for n in range(int((last - first).total_seconds()) + 1)}

    def is_complete(self, found: set[Any]) -> bool:
        return len(found) >= self.count and super().is_complete(found)
