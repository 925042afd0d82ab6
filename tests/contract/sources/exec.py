"""Source exec: a command that writes the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tests.contract.sources.files import as_json, few
from tests.contract.sources.rig import Rig, Why


class Origin(Rig):
    server = "commands"
    nothing: ClassVar[Why] = {
        "away": "a command that fails is run again; what it asks is its own affair",
        "login": "a command says by its end that it may not",
    }
    bad_said = "line 8: it is not JSON"
    bad_id = "read:8"
    missing_said = "it cannot be run: there is no program 'no-such-program'; install it"

    @property
    def options(self) -> dict[str, Any]:
        return {"command": ["cat", "numbers"], "resume": "skip"}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {"command": ["no-such-program"]}

    def fill(self, numbers: Sequence[int]) -> None:
        self._write([{"n": n} for n in range(numbers[-1] + 1)])

    def fill_with_a_bad_one(self) -> None:
        self._write(few("nothing"))

    def _write(self, records: Sequence[Any]) -> None:
        (self.place.root / "project").mkdir(exist_ok=True)
        (self.place.root / "project/numbers").write_text("".join(f"{one}\n" for one in as_json(records)))
