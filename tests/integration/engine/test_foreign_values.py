"""A foreign value in a pipeline's hash ends a run with an error that says so, not with a traceback."""

from __future__ import annotations

import pytest

from rsq_pipe.errors import StreamError
from tests.integration.engine.lab import READ, Lab


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.records(range(3))
    lab.spec(f"""
        {READ}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)
    return lab


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
