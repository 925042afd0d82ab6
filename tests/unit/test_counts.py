"""Counts with `k` and `M`."""

from __future__ import annotations

import pytest

from rsq_pipe.units import parse_count


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("500", 500), ("100k", 100_000), ("1.5M", 1_500_000)])
def test_a_count_is_a_whole_number_with_its_unit(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5", "1K", "100 thousand", "1e3", "١"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="100k"):
        parse_count(text)
