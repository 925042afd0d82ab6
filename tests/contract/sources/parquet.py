"""Source parquet: files of one column of numbers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import arro3.core as arrow
import arro3.io

from tests.contract.sources.files import FileRig, few


class Origin(FileRig):
    bad_said = "x.parquet: row 8: an infinite number is not a value of a record"
    bad_id = "read:x.parquet:8"

    def packed(self, records: Sequence[Any]) -> bytes:
        file = io.BytesIO()
        column = arrow.Array([float(one["n"]) for one in records], arrow.DataType.float64())
        arro3.io.write_parquet(arrow.Table.from_pydict({"n": column}), file)
        return file.getvalue()

    def fill_with_a_bad_one(self) -> None:
        self.write("x", few({"n": float("inf")}))
