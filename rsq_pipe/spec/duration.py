"""Duration: a length of time with its unit."""

from __future__ import annotations

import re

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
PATTERN = r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)$"


def parse_duration(text: str) -> float:
    """
    Read a duration.

    Args:
        text: Such as `200ms`, `30s`, `5m`, `1h` or `7d`.

    Returns:
        Seconds.

    Raises:
        ValueError: It is not a duration; the message names the units.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]+)", text.strip())
    if match and match[2] in UNITS:
        return float(match[1]) * UNITS[match[2]]
    raise ValueError(f"{text!r} is not a duration; write a number and ms, s, m, h or d, such as 30s")


def format_duration(seconds: float) -> str:
    """Spell seconds in the largest unit that needs no fraction."""
    for unit, factor in reversed(UNITS.items()):
        count = round(seconds / factor, 9)
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:g}s"  # 0s, and what is shorter than a millisecond
