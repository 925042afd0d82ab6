"""Source dlt: a resource that remembers how far it has come, and gives the same each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.contract.sources.rig import Rig, Why

FEEDS = """
import dlt

@dlt.resource(primary_key="n")
def numbers(count, at=dlt.sources.incremental("n", initial_value=-1)):
    yield [{"n": n} for n in range(count)]

@dlt.resource
def mixed():
    yield [*({"n": n} for n in range(7)), "no record", *({"n": n} for n in range(7, 10))]
"""


class Origin(Rig):
    server = "a source of dlt's, in Python"
    nothing: ClassVar[Why] = {
        "away": "dlt tries again by its own rules; what it raises ends the run",
        "login": "dlt's sources have their own; what they raise ends the run",
    }
    bad_said = "not a JSON object but a string"
    bad_id = "read:1.8"
    missing_said = "'nothing' is not in module 'feeds'; define it in feeds.py"
    missing_code = 2
    mixed = False

    @property
    def options(self) -> Mapping[str, Any]:
        self._write()
        if self.mixed:
            return {"call": "feeds:mixed"}
        return {"call": "feeds:numbers", "with": {"count": self.count}}

    @property
    def missing_options(self) -> dict[str, Any]:
        self._write()
        return {"call": "feeds:nothing"}

    def fill_with_a_bad_one(self) -> None:
        self.mixed = True

    def _write(self) -> None:
        (self.place.root / "project").mkdir(exist_ok=True)
        (self.place.root / "project/feeds.py").write_text(FEEDS)
