"""The slots that a pipeline's file names are found in what a server keeps of it, whatever that is."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.changes.last_run import LastRun
from rsq_pipe.ops.slots import slots_left

SOURCE = "stages: {read: {source: {type: postgres_cdc, slot: %s}}}\n"
LAUGHS = "a0: &a0 x\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 8)}]\n" for level in range(1, 8)
)


def test_the_slots_of_a_file_are_told_with_their_stages() -> None:
    assert slots_left(LastRun(text=SOURCE % "shop_pipe")) == [("read", "shop_pipe")]
    assert slots_left(LastRun(text=SOURCE % "'${SLOT}'")) == [("read", "${SLOT}")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stages: [",
        "stages: 3",
        "stages: &s {read: *s}",
        "[" * 10_000,
        pytest.param(LAUGHS + SOURCE % "*a7", id="two million values in eight lines"),
    ],
)
def test_a_file_that_names_none_or_is_more_than_a_file_may_be_has_none(text: str) -> None:
    assert slots_left(LastRun(text=text)) == []
