"""Sink csv: a file."""

from __future__ import annotations

import csv
from typing import Any, ClassVar

from tests.contract.sinks.rig import NO_LOGIN, NO_SERVER, Record, Rig, Why


class Target(Rig):
    server = "files"
    nothing: ClassVar[Why] = {"away": NO_SERVER, "login": NO_LOGIN}
    bad: ClassVar[Record] = {"n": 7, "pad": "", "more": 1}
    bad_said = "no column for 'more'; name it in `fields`, or set `extra: ignore`"
    missing_said = "out/all.csv: it cannot be written: File exists"

    @property
    def options(self) -> dict[str, Any]:
        return {"path": "out/all.csv"}

    @property
    def missing_options(self) -> dict[str, Any]:
        (self.place.root / "out").touch()
        return self.options

    def found(self) -> list[int]:
        with (self.place.root / "out/all.csv").open(newline="") as file:
            return [int(row["n"]) for row in csv.DictReader(file, strict=True)]
