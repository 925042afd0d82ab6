"""Sink stdout: what a run prints."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tests.contract.sinks.rig import NO_LOGIN, NO_SERVER, Rig, Why


class Target(Rig):
    server = "a pipe"
    nothing: ClassVar[Why] = {
        "away": NO_SERVER,
        "bad": "what came through a stream can be written as JSON",
        "login": NO_LOGIN,
        "missing": "it is there with the process",
    }

    @property
    def options(self) -> dict[str, Any]:
        return {}

    def found(self) -> list[int]:
        lines = (self.place.root / "stdout.txt").read_text().splitlines()
        return [json.loads(line)["n"] for line in lines if line.startswith("{")]
