"""Source generate: it makes the records itself."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.sources.rig import FEW, NO_SERVER, Rig, Why


class Origin(Rig):
    server = "none"
    nothing: ClassVar[Why] = {"away": NO_SERVER, "login": NO_SERVER, "missing": "it reads nothing"}
    bad_said = "division by zero"
    bad_id = "read:7"
    fields = "n"

    @property
    def options(self) -> dict[str, Any]:
        return {"count": self.count, "fields": {"n": self.fields}}

    def fill_with_a_bad_one(self) -> None:
        self.count = FEW + 1
        self.fields = "n - (n > 7) + 0 / (n - 7)"
