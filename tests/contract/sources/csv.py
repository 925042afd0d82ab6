"""Source csv: files of one column of whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.sources.files import FileRig, few


class Origin(FileRig):
    bad_said = "x.csv:9: "
    bad_id = "read:x.csv:9"

    @property
    def options(self) -> dict[str, Any]:
        return {**super().options, "types": {"n": "int"}}

    def packed(self, records: Sequence[Any]) -> bytes:
        return "".join(f"{field}\n" for field in ("n", *(one["n"] for one in records))).encode()

    def fill_with_a_bad_one(self) -> None:
        self.write("x", few({"n": "seven"}))
