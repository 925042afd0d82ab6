"""FileRig: what the rigs of sources of files have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from tests.contract.sources.rig import FEW, NO_LOGIN, NO_SERVER, Rig, Why


class FileRig(Rig):
    """Read the files of a folder; of the one with a bad record, that is the eighth."""

    server = "files"
    nothing: ClassVar[Why] = {"away": NO_SERVER, "login": NO_LOGIN}
    missing_code = 2
    missing_said = "no file matches 'in/*.gone'"

    @property
    def options(self) -> dict[str, Any]:
        return {"path": f"in/*.{self.type}"}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {**self.options, "path": "in/*.gone"}

    def fill(self, numbers: Sequence[int]) -> None:
        self.write(f"{numbers[0]:06}", [{"n": n} for n in numbers])

    def write(self, name: str, records: Sequence[Any]) -> None:
        """Write a file of records; what is text stands in it as it is."""
        path = self.place.root / f"project/in/{name}.{self.type}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.packed(records))

    def packed(self, records: Sequence[Any]) -> bytes:
        raise NotImplementedError


def few(bad: Any) -> list[Any]:
    """Make good records, and a bad one after the seventh."""
    records: list[Any] = [{"n": n} for n in range(FEW)]
    return [*records[:7], bad, *records[7:]]


def as_json(records: Sequence[Any]) -> list[str]:
    return [one if isinstance(one, str) else json.dumps(one) for one in records]
