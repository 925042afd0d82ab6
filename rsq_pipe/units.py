"""Units: counts, durations, rates and sizes, as written by people and as stored in settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

COUNTS = {"": 1, "k": 1_000, "M": 1_000_000}
DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_AGES = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
RATES = {"s": 1.0, "m": 60.0, "h": 3_600.0}
SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}

LONGEST = 36_500 * 86_400.0
"""Maximum seconds of a duration in a setting: no server's clock accepts longer ones."""

LARGEST = 2**60
"""Maximum bytes of a size."""

FASTEST = 1e12
"""Maximum number of a rate."""

COUNT_PATTERN = r"^[0-9]+(\.[0-9]+)? ?(k|M)?$"
DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)$"
RATE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?/ ?(s|m|h)$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?(B|KiB|MiB|GiB|kB|MB|GB)$"


_SPELT_OUT = {
    **dict.fromkeys(("millisecond", "msec", "milli"), "ms"),
    **dict.fromkeys(("second", "sec"), "s"),
    **dict.fromkeys(("minute", "min"), "m"),
    **dict.fromkeys(("hour", "hr", "hourly"), "h"),
    **dict.fromkeys(("day", "daily"), "d"),
}
"""Other spellings of units of durations."""

_WEEKS = frozenset(("w", "wk", "week", "weekly"))
_NOT_FIXED = frozenset(("mo", "mon", "month", "monthly", "y", "yr", "year", "yearly", "quarter"))


def parse_count(text: str) -> int:
    """
    Parse a count.

    Args:
        text: Such as `500`, `100k` or `1M`.

    Raises:
        ValueError: It is not a count; the message names the units.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kM]?)", text.strip())
    if match and (count := float(match[1]) * COUNTS[match[2]]).is_integer():
        return int(count)
    raise ValueError(f"{text!r} is not a count; write a whole number, with k or M if it is large: 100k")


def counted(number: int, noun: str) -> str:
    """Format a count with what it counts, whose plural ends in s: `1 record`, `1,200 records`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_moment(at: datetime) -> str:
    """Format a moment of UTC as JSON has it: ISO 8601, milliseconds, Z."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_rate(per_second: float) -> str:
    """Format a number per second; one below 1 with its fraction: what is slow must not seem to rest."""
    if not per_second or per_second >= 0.995:
        return f"{per_second:,.0f}"
    return f"{per_second:.2f}" if per_second >= 0.005 else "<0.01"


def parse_duration(text: str) -> float:
    """
    Parse a duration.

    Args:
        text: Such as `200ms`, `30s`, `5m`, `1h` or `7d`.

    Returns:
        Seconds.

    Raises:
        ValueError: It is not a duration; the message names the units.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]+)", text.strip())
    if match and match[2] in DURATIONS:
        return float(match[1]) * DURATIONS[match[2]]
    raise ValueError(f"{text!r} is not a duration; {_meant(text)}")


def _meant(text: str) -> str:
    """Return how to write a duration; the one meant, if that is clear."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)? ?([a-z]+?)s?", text.strip().lower())
    unit = _SPELT_OUT.get(match[2]) if match else None
    if match and unit:
        return f"write {match[1] or 1}{unit}"
    if match and match[2] in _WEEKS:
        return f"write {float(match[1] or 1) * 7:g}d"
    if match and match[2] in _NOT_FIXED:
        by_month = """`by: {month: "day[:7]"}`"""
        return f"months and years differ in length; write days, 30d, or group by the month: {by_month}"
    return "write a number and ms, s, m, h or d, such as 30s"


def format_duration(seconds: float) -> str:
    """Format seconds in the largest unit that needs no fraction."""
    for unit, factor in reversed(DURATIONS.items()):
        count = round(seconds / factor, 9)
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:g}s"  # 0s, and any duration below a millisecond


def age(seconds: float) -> str:
    """Format an age in its two largest units, `2h 5m`."""
    left = round(seconds)
    parts: list[str] = []
    for size, unit in _AGES:
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def parse_rate(text: str) -> float:
    """
    Parse a rate.

    Args:
        text: Such as `500/s`, `30/m` or `10/h`.

    Returns: Number per second.

    Raises:
        ValueError: It is not a rate; the message names the units.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?/ ?([a-z]+)", text.strip())
    if match and match[2] in RATES:
        if float(match[1]) > FASTEST:
            raise ValueError(f"{text[:40]!r} is more than anything does; write 1000000/s")
        return float(match[1]) / RATES[match[2]]
    unit = r"(s(?=ec)|m(?=in)|h(?=r|our)|[smh]$)[a-z]*"  # not a month
    words = re.fullmatch(rf"(\d+(?:\.\d+)?) ?(?:/|per) ?{unit}", text.strip().lower())
    fix = f"write {words[1]}/{words[2]}" if words else "write a number and /s, /m or /h, such as 500/s"
    raise ValueError(f"{text!r} is not a rate; {fix}")


def check_rate(value: object) -> str:
    """
    Check that a rate is above zero.

    Raises:
        ValueError: It is not; the message says how to write what was meant.
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


def parse_size(text: str) -> int:
    """
    Parse a size.

    Args:
        text: Such as `64KiB`, `1MiB` or `500B`.

    Returns:
        Bytes.

    Raises:
        ValueError: It is not a size; the message names the units.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    if match and match[2] in SIZES:
        size = float(match[1]) * SIZES[match[2]]
        if size > LARGEST:
            raise ValueError(f"{text[:40]!r} is more than any machine has; write 1000000GiB")
        return int(size)
    raise ValueError(f"{text!r} is not a size; write a number and B, KiB, MiB, GiB, kB, MB or GB: 1MiB")


def format_size(count: int) -> str:
    """Format bytes in the largest binary unit that needs no fraction."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % SIZES[unit] == 0:
            return f"{count // SIZES[unit]}{unit}"
    return f"{count}B"


# The types of values in settings, each with its check and its JSON Schema.


def text_parser(parse: Callable[[str], Any], example: str) -> BeforeValidator:
    """Make the validator of a setting written as text, or as a number that can be read as such text."""

    def check(value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"must be text such as {example}")  # noqa: TRY004  pydantic wants a ValueError
        return parse(str(value))

    return BeforeValidator(check)


def text_schema(pattern: str, description: str, *examples: str) -> WithJsonSchema:
    """Make the JSON Schema of a setting written as text."""
    return WithJsonSchema(
        {"type": "string", "pattern": pattern, "description": description, "examples": list(examples)}
    )


def _bounded_duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds > LONGEST:
        raise ValueError(f"{text[:40]!r} is longer than 100 years; write {format_duration(LONGEST)} at most")
    return seconds


def _as_duration(seconds: float) -> str:
    return format_duration(seconds)


Duration = Annotated[
    float,
    text_parser(_bounded_duration, "30s"),
    PlainSerializer(_as_duration),
    text_schema(DURATION_PATTERN, "A duration: ms, s, m, h or d", "200ms", "30s", "5m"),
]
Size = Annotated[
    int, text_parser(parse_size, "1MiB"), text_schema(SIZE_PATTERN, "A size: B, KiB, MiB, GiB", "1MiB")
]


def _many_schema(least: int) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": least},
                {"type": "string", "pattern": COUNT_PATTERN, "examples": ["100k"]},
            ],
            "description": "How many, with k or M where they are many",
        }
    )


Many = Annotated[int, text_parser(parse_count, "100k"), Field(ge=0), _many_schema(0)]
OneOrMore = Annotated[int, text_parser(parse_count, "100k"), Field(ge=1), _many_schema(1)]
Rate = Annotated[
    str,
    BeforeValidator(check_rate),
    text_schema(RATE_PATTERN, "A rate: a number and /s, /m or /h", "500/s", "30/m"),
]
