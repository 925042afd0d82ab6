"""Rate: how many a unit of time."""

from __future__ import annotations

import re

UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0}
PATTERN = r"^[0-9]+(\.[0-9]+)? ?/ ?(s|m|h)$"


def parse_rate(text: str) -> float:
    """
    Read a rate.

    Args:
        text: Such as `500/s`, `30/m` or `10/h`.

    Returns:
        How many a second.

    Raises:
        ValueError: It is not a rate; the message names the units.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?/ ?([a-z]+)", text.strip())
    if match and match[2] in UNITS:
        return float(match[1]) / UNITS[match[2]]
    raise ValueError(f"{text!r} is not a rate; write a number and /s, /m or /h, such as 500/s")


def check_rate(value: object) -> str:
    """
    Let through a rate by which something can go on.

    Raises:
        ValueError: It is none; the message says how to write what was meant.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        what = f"{value} is not a rate: it has no unit; write {value}/s, {value}/m or {value}/h"
        raise ValueError(what)  # noqa: TRY004  pydantic wants a ValueError
    if not isinstance(value, str):
        raise ValueError("must be text such as 500/s")  # noqa: TRY004  pydantic wants a ValueError
    if re.fullmatch(r"\d+(?:\.\d+)?", value.strip()):
        raise ValueError(f"{value!r} is not a rate: it has no unit; write {value.strip()}/s")
    if parse_rate(value) <= 0:
        raise ValueError(f"{value!r} would let nothing through; write more than 0")
    return value.strip()
