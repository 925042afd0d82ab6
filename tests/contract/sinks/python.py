"""Sink python: a function that adds what it is given to a file."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contract.sinks.rig import Record, Rig, Why

STORE = """
import os

def store(records, rids):
    if any(record["n"] == "seven" for record in records):
        raise ValueError("no seven")
    file = os.open("stored", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, "".join(f"{record['n']}\\n" for record in records).encode())
    os.close(file)
"""


class Target(Rig):
    server = "a function"
    nothing: ClassVar[Why] = {
        "away": "what the function raises is a failure of its batch, and is retried",
        "login": "what the function raises is a failure of its batch",
        "missing": "a function that is not there is a mistake of the file, found before the run",
    }
    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    bad_said = "ValueError: no seven"

    def make(self) -> None:
        (self.place.root / "handlers.py").write_text(STORE)

    @property
    def options(self) -> dict[str, Any]:
        return {"call": "handlers:store"}

    def found(self) -> list[int]:
        return [int(line) for line in (self.place.root / "stored").read_text().splitlines()]
