"""Sink exec: a command that adds what it is given to a file."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, ClassVar

from tests.contract.sinks.rig import Record, Rig, Why

STORE = """
given=$(cat)
case "$given" in *seven*) echo 'no seven' >&2; exit 1;; esac
printf '%s\\n' "$given" >> stored
"""


class Target(Rig):
    server = "commands"
    nothing: ClassVar[Why] = {
        "away": "a command that fails is run again, as after any failure",
        "login": "a command says by its end that it may not",
    }
    bad: ClassVar[Record] = {"n": "seven", "pad": ""}
    bad_said = "it ended with exit code 1: no seven"
    missing_said = "there is no program 'nix-da'; install it, or check its rights and PATH"

    @property
    def options(self) -> dict[str, Any]:
        return {"command": ["sh", "-c", STORE]}

    @property
    def missing_options(self) -> dict[str, Any]:
        return {"command": ["nix-da"]}

    def found(self) -> list[int]:
        found = []
        for line in (self.place.root / "stored").read_text().splitlines():
            # Where the run was killed as it gave the command a line, that was given half.
            with suppress(json.JSONDecodeError):
                found.append(json.loads(line)["n"])
        return found
