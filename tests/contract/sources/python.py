"""Source python: a function that is told the last position, and goes on behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tests.contract.sources.rig import Rig, Why

FEED = """
def feed(position, count):
    for n in range(0 if position is None else position + 1, count):
        yield n, {"n": n}
"""
BAD_ONE = """
def feed(count):
    for n in range(10):
        if n == 7:
            yield "seven"
        yield {"n": n}
"""


class Origin(Rig):
    server = "a function"
    nothing: ClassVar[Why] = {
        "away": "what the function raises ends the run, and the next one goes on",
        "login": "what the function raises ends the run",
    }
    bad_said = "a record is a dict, not str"
    bad_id = "read:7"
    missing_said = "there is no module 'nowhere'"
    missing_code = 2

    @property
    def options(self) -> dict[str, Any]:
        return {"call": "feeds:feed", "with": {"count": self.count}}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {"call": "nowhere:feed"}

    def fill(self, numbers: Sequence[int]) -> None:
        self._write(FEED)

    def fill_with_a_bad_one(self) -> None:
        self._write(BAD_ONE)

    def _write(self, text: str) -> None:
        (self.place.root / "project").mkdir(exist_ok=True)
        (self.place.root / "project/feeds.py").write_text(text)
