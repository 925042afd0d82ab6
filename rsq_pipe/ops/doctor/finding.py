"""Finding: one thing the doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "problem"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "problem")
"""From the best to the worst."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Say what was seen, and what follows.

    Args:
        check: What was looked at, a short name that stays the same from one release to the next.
        level: `ok`; `note`: worth knowing; `warning`: holds today; `problem`: the promise
            does not hold.
        seen: The facts.
        guarantee: What holds because of them, or does not.
        mend: A line of redis.conf, or a command; empty where nothing needs mending.
    """

    check: str
    level: Level
    seen: str
    guarantee: str
    mend: str = ""
