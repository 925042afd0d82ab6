"""Source jsonl: files of JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.sources.files import FileRig, as_json, few


class Origin(FileRig):
    bad_said = "x.jsonl:8: it is not JSON"
    bad_id = "read:x.jsonl:8"

    def packed(self, records: Sequence[Any]) -> bytes:
        return "".join(f"{line}\n" for line in as_json(records)).encode()

    def fill_with_a_bad_one(self) -> None:
        self.write("x", few('{"n": '))
