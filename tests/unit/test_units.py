"""Durations, sizes, rates and samplings carry units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rsq_pipe.spec.sampling import Sampling, parse_sampling
from rsq_pipe.units import (
    counted,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("200ms", 0.2),
        ("30s", 30),
        ("1.5s", 1.5),
        ("5m", 300),
        ("1h", 3600),
        ("7d", 604_800),
        ("0s", 0),
        (" 2 s", 2),
    ],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "200ms"), (90, "90s"), (300, "5m"), (0, "0s"), (86_400, "1d")]
)
def test_a_duration_is_spelled_in_the_largest_whole_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [("500B", 500), ("64KiB", 65_536), ("1MiB", 2**20), ("1.5GiB", 3 * 2**29), ("2MB", 2_000_000)],
)
def test_a_size_is_read_as_bytes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(("count", "text"), [(2**20, "1MiB"), (65_536, "64KiB"), (500, "500B"), (0, "0B")])
def test_a_size_is_spelled_in_the_largest_whole_unit(count: int, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.parametrize(("text", "per_second"), [("500/s", 500), ("30/m", 0.5), ("36 / h", 0.01)])
def test_a_rate_is_read_per_second(text: str, per_second: float) -> None:
    assert parse_rate(text) == pytest.approx(per_second)


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (1234.5, "1,234"),
        (1.4, "1"),
        (0.996, "1"),
        (0.333, "0.33"),
        (0.005, "0.01"),
        (0.001, "<0.01"),
        (0, "0"),
    ],
)
def test_a_rate_below_one_is_not_shown_as_none(per_second: float, text: str) -> None:
    assert format_rate(per_second) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 keys"), (1, "1 key"), (1200, "1,200 keys")])
def test_only_one_is_counted_in_the_singular(number: int, text: str) -> None:
    assert counted(number, "key") == text


@pytest.mark.parametrize(
    ("text", "sampling"),
    [
        ("10/s", Sampling("rate", 10)),
        ("5%", Sampling("share", 0.05)),
        ("all", Sampling("all", 1)),
        ("none", Sampling("none", 0)),
    ],
)
def test_a_sampling_is_a_rate_a_share_all_or_none(text: str, sampling: Sampling) -> None:
    assert parse_sampling(text) == sampling


@pytest.mark.parametrize(
    ("parse", "text", "units"),
    [
        (parse_duration, "30", "ms, s, m, h or d"),
        (parse_duration, "-1s", "ms, s, m, h or d"),
        (parse_duration, "1 fortnight", "ms, s, m, h or d"),
        (parse_size, "1", "B, KiB, MiB, GiB"),
        (parse_size, "1mib", "B, KiB, MiB, GiB"),
        (parse_rate, "500", "/s, /m or /h"),
        (parse_rate, "x/s", "/s, /m or /h"),
        (parse_rate, "5/sec", "write 5/s"),
        (parse_rate, "2.5 per Minute", "write 2.5/m"),
        (parse_rate, "5/hour", "write 5/h"),
        (parse_rate, "5/month", "write a number and /s, /m or /h"),
        (parse_sampling, "150%", "a rate (10/s), a share (5%), all or none"),
        (parse_sampling, "10/w", "/s, /m or /h"),
    ],
)
def test_a_wrong_unit_is_answered_with_the_right_ones(
    parse: Callable[[str], Any], text: str, units: str
) -> None:
    with pytest.raises(ValueError, match="is not a") as raised:
        parse(text)

    assert repr(text) in str(raised.value)
    assert units in str(raised.value)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("1w", "write 7d"),
        ("2 weeks", "write 14d"),
        ("weekly", "write 7d"),
        ("1mo", "months and years differ in length; write days, 30d, or group by the month"),
        ("yearly", "months and years differ in length"),
    ],
)
def test_weeks_and_months_are_answered_with_what_can_be_written(text: str, fix: str) -> None:
    with pytest.raises(ValueError, match="is not a duration") as raised:
        parse_duration(text)

    assert fix in str(raised.value)
