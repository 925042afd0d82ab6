"""Source json: files that are one list each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.sources.files import FileRig, as_json, few


class Origin(FileRig):
    bad_said = "x.json: record 8: not a JSON object"
    bad_id = "read:x.json:8"

    def packed(self, records: Sequence[Any]) -> bytes:
        return f"[{', '.join(as_json(records))}]".encode()

    def fill_with_a_bad_one(self) -> None:
        self.write("x", few("[1]"))
