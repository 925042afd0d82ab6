"""Emptying: all of a bucket is taken out once, however its pages fall."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.engine.windows.emptying import Emptying
from rsq_pipe.model.state import Page, Question


class Slots:
    """A hash whose pages are its slots, some at a time; what is taken out leaves its slot empty."""

    refused = 0

    def __init__(self, filled: str) -> None:
        self.held = {at: {b"%d" % at: b"v"} for at, slot in enumerate(filled) if slot == "x"}
        self.count = len(filled)
        self.asked = 0

    async def ask(self, *questions: Question) -> list[Any]:
        (question,) = questions
        assert isinstance(question, Page)
        self.asked += 1
        end = min(question.cursor + question.size, self.count)
        page = {
            name: value for at in range(question.cursor, end) for name, value in self.held.get(at, {}).items()
        }
        return [(end % self.count, page)]


@pytest.mark.parametrize("filled", ["x", ".", "xx.x", "....xx", "xx....", ".x.x.x.x.x", "x" * 40])
@pytest.mark.parametrize("part", [1, 2, 100])
async def test_all_is_taken_out_once_in_about_two_passes(filled: str, part: int) -> None:
    slots, taken = Slots(filled), []
    emptying = Emptying(slots, "b", 3)
    while True:
        some = dict(list((await emptying.page()).items())[:part])
        is_all = emptying.is_all(some)
        taken += list(some)
        for name in some:
            del slots.held[int(name)]
        if is_all:
            break
        emptying.took(some)

    assert sorted(map(int, taken)) == [at for at, slot in enumerate(filled) if slot == "x"]
    assert not slots.held
    assert slots.asked <= 2 * (len(filled) // 3 + 1) + len(taken)
