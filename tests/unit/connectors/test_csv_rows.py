"""Rows of csv, made of records that are rows of values already."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rsq_pipe.connectors.csv.rows import Extra, Missing, Rows
from rsq_pipe.model.row_records import RowRecords

NAMES = ("a", "b", "c")
VALUES: list[Any] = [1, 2.5, "x", "", None, "=1", 'say "hi"', "a,b", "two\nlines", "\r", True, [1], {"x": 1}]


def written(records: Any, fields: tuple[str, ...], extra: Extra, missing: Missing) -> bytes | None:
    rows = Rows(fields, extra, missing)
    return rows.data() if rows.add_all(records) else None


@pytest.mark.parametrize("extra", ["error", "ignore"])
@pytest.mark.parametrize("missing", ["error", "empty"])
@pytest.mark.parametrize(
    "fields", [NAMES, ("c", "a"), ("b",), ("c", "b", "a"), ("a", "d"), ("a", "b", "c", "d")], ids="".join
)
def test_rows_are_written_as_the_same_dicts_are(
    fields: tuple[str, ...], extra: Extra, missing: Missing
) -> None:
    draw = random.Random(7)
    for _ in range(50):
        some = draw.sample(VALUES, 4)
        rows = [tuple(draw.choice(some) for _ in NAMES) for _ in range(draw.randint(1, 4))]
        dicts = [dict(zip(NAMES, row, strict=True)) for row in rows]

        found = written(RowRecords(NAMES, [*rows]), fields, extra, missing)

        assert found == written(dicts, fields, extra, missing)
