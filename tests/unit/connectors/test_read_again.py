"""A source is closed whenever its reading is cut off, and the same one reads on where its process goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.table import connector
from rsq_pipe.spec.expressions.expression import compile_expression

SOURCES: dict[str, dict[str, Any]] = {
    "exec": {"command": ["seq", "3"], "format": "lines"},
    "generate": {"count": 3, "rate": "100/s", "fields": {"n": "n"}},
    "schedule": {"every": "1s"},
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_that_was_closed_can_be_read_again(kind: str, tmp_path: Path) -> None:
    found = connector("source", kind)
    options = found.options(**SOURCES[kind])
    if kind == "generate":  # as the loader does
        options = options.model_copy(update={"fields": {"n": compile_expression("n")}})
    source = found.made(options, pipeline="p", stage="read", root=tmp_path)
    (shard,) = source.shards()
    first = source.read(shard, "", 1)
    next(first)
    source.close()
    first.close()

    again = source.read(shard, "", 1)
    try:
        assert len([next(again), next(again)]) == 2
    finally:
        source.close()
        again.close()
