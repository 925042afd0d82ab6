"""A foreign value in a pipeline's hash ends a run with an error that says so, not with a traceback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rsq_pipe.errors import StreamError
from tests.integration.engine.lab import READ, Lab
from tests.support.server import StreamServer


@pytest.fixture
async def lab(server: StreamServer, name: str, tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path / "project", name, server.url)
    lab.records(range(3))
    lab.spec(f"""
        {READ}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)
    yield lab
    await lab.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [("out:in", "many"), ("position:out:out/all.jsonl", "first|3"), ("out:in", "9" * 5000)],
)
async def test_a_number_that_is_none_ends_the_run_and_is_told_with_where_to_look(
    lab: Lab, field: str, value: str
) -> None:
    await lab.run()
    lab.records(range(3, 6))
    await lab.redis("HSET", lab.key("meta"), field, value)

    with pytest.raises(StreamError, match=r"something else has written to its keys: see HGETALL"):
        await lab.run()
