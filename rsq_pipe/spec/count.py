"""Count: how many, with `k` and `M` for large numbers."""

from __future__ import annotations

import re

UNITS = {"": 1, "k": 1_000, "M": 1_000_000}
PATTERN = r"^[0-9]+(\.[0-9]+)? ?(k|M)?$"


def parse_count(text: str) -> int:
    """
    Read a count.

    Args:
        text: Such as `500`, `100k` or `1M`.

    Raises:
        ValueError: It is not a count; the message names the units.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kM]?)", text.strip())
    if match and (count := float(match[1]) * UNITS[match[2]]).is_integer():
        return int(count)
    raise ValueError(f"{text!r} is not a count; write a whole number, with k or M if it is large: 100k")
