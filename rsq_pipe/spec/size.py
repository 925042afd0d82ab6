"""Size: a number of bytes with its unit."""

from __future__ import annotations

import re

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
PATTERN = r"^[0-9]+(\.[0-9]+)? ?(B|KiB|MiB|GiB|kB|MB|GB)$"


def parse_size(text: str) -> int:
    """
    Read a size.

    Args:
        text: Such as `64KiB`, `1MiB` or `500B`.

    Returns:
        Bytes.

    Raises:
        ValueError: It is not a size; the message names the units.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    if match and match[2] in UNITS:
        return int(float(match[1]) * UNITS[match[2]])
    raise ValueError(f"{text!r} is not a size; write a number and B, KiB, MiB, GiB, kB, MB or GB: 1MiB")


def format_size(count: int) -> str:
    """Spell bytes in the largest binary unit that needs no fraction."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % UNITS[unit] == 0:
            return f"{count // UNITS[unit]}{unit}"
    return f"{count}B"
