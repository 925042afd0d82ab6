"""Record ids: what they are made of, and which are of one record."""

from __future__ import annotations

import pytest

from rsq_pipe.ids import SHOWN, branch, child, is_family, record_id, shown


def test_an_id_is_where_a_record_came_from_and_what_became_of_it() -> None:
    assert child(branch(child(record_id("read", "in.jsonl:17"), 2), "eu"), 0) == "read:in.jsonl:17.2@eu.0"


@pytest.mark.parametrize("other", ["read:1", "read:1.0", "read:1.0.3", "read:1@eu", "read:1.2@route.large.0"])
def test_children_and_branches_are_family(other: str) -> None:
    assert is_family("read:1", other)
    assert is_family(other, "read:1")


@pytest.mark.parametrize("other", ["", "read:10", "read:1.jsonl", "read:1.0x", "read:1@", "read:2"])
def test_a_longer_id_is_not_family_for_that_alone(other: str) -> None:
    assert not is_family("read:1", other)


def test_an_id_that_somebody_made_very_long_is_cut_where_it_is_shown() -> None:
    assert shown("r" * SHOWN) == "r" * SHOWN
    assert shown("r" * 70_000) == "r" * SHOWN + "... (70,000 characters)"
