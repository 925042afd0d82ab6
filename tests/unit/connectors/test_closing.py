"""A source that waits is closed: also one whose reading has not begun to wait yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.table import connector
from rsq_pipe.spec.expressions.expression import compile_expression

WAITING: dict[str, dict[str, Any]] = {
    "dlt": {"call": "feeds:nowhere", "every": "1h"},
    "exec": {"command": ["sleep", "3600"]},
    "generate": {"fields": {"id": compile_expression("n")}, "rate": "1/m"},
    "kafka": {"brokers": ["127.0.0.1:1"], "topic": "orders"},
    "mqtt": {"broker": "127.0.0.1:1", "topic": "orders", "timeout": "1s"},
    "python": {"call": "waiting_feeds:feed"},
    "schedule": {"every": "1h"},
    "webhook": {"listen": "127.0.0.1:0"},
}

FEED = """
import asyncio

async def feed():
    await asyncio.Event().wait()
    yield {"n": 1}
"""


def made(kind: str, root: Path) -> Any:
    (root / "waiting_feeds.py").write_text(FEED)
    found = connector("source", kind)
    options = found.options.model_validate(WAITING[kind])
    return found.made(options, pipeline="shop", stage="read", root=root)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", WAITING)
def test_a_reading_that_is_closed_before_its_first_chunk_is_asked_for_ends(kind: str, tmp_path: Path) -> None:
    source = made(kind, tmp_path)
    reading = source.read("orders/0", "", 10)

    source.close()

    assert [record for chunk in reading for record in chunk.records] == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", WAITING)
def test_a_reading_does_not_revive_the_one_before_that_was_closed(kind: str, tmp_path: Path) -> None:
    source = made(kind, tmp_path)
    before = source.read("orders/0", "", 10)
    source.close()
    source.read("orders/0", "", 10)

    assert [record for chunk in before for record in chunk.records] == []
