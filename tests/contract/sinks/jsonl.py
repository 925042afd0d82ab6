"""Sink jsonl: a file."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tests.contract.sinks.rig import NO_LOGIN, NO_SERVER, Rig, Why


class Target(Rig):
    server = "files"
    nothing: ClassVar[Why] = {
        "away": NO_SERVER,
        "login": NO_LOGIN,
        "bad": "what came through a stream can be written as JSON",
    }
    missing_said = "out/all.jsonl: it cannot be written: File exists"

    @property
    def options(self) -> dict[str, Any]:
        return {"path": "out/all.jsonl"}

    @property
    def missing_options(self) -> dict[str, Any]:
        (self.place.root / "out").touch()
        return self.options

    def found(self) -> list[int]:
        text = (self.place.root / "out/all.jsonl").read_text()
        assert text.endswith("\n")
        return [json.loads(line)["n"] for line in text.splitlines()]
