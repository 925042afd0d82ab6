"""The handlers of the guide are handlers, and do what the guide says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.handlers.handler import describe
from rsq_pipe.model.outcome import Drop, Emit, Failure, Reject, Retry
from tests.unit.verbs.given import outcomes, stage

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "handlers.md"


@pytest.fixture
def guide() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        exec(compile(block, str(GUIDE), "exec", dont_inherit=True), names)
    return names


async def test_every_handler_of_the_guide_does_what_it_says(guide: dict[str, Any], tmp_path: Path) -> None:
    customers = tmp_path / "customers.csv"
    customers.write_text("id,name\nALFKI,Alfreds\n")
    with_table = stage(values={"customers": str(customers)})

    assert await outcomes(guide["price"], {"lines": [{"price": 2, "quantity": 3}]}) == [
        {"lines": [{"price": 2, "quantity": 3}], "total": 6}
    ]
    large = {"total": 2000, "rate": 1}
    decided = await outcomes(
        guide["decide"], {}, {"total": 0}, {"total": 1}, large, of=stage(ports=("large",))
    )
    assert [type(outcome) for outcome in decided] == [Reject, Drop, Retry, Emit]
    kept, dropped, failed = await outcomes(
        guide["late"], *({"id": 1, "placed": day, "total": 1} for day in ("2025-12-31", "2026-01-01", "soon"))
    )
    assert (kept, dropped) == ({"id": 1, "placed": "2025-12-31", "total": 1.0}, None)
    assert isinstance(failed, Failure)
    assert await outcomes(guide["look_up"], {"n": 1}) == [{"n": 1}]
    assert await outcomes(guide["score"], {"total": 1}, {"total": 4}) == [
        {"total": 1, "share": 0.25},
        {"total": 4, "share": 1.0},
    ]
    assert await outcomes(guide["enrich"], {"customer": "ALFKI"}, of=with_table) == [
        {"customer": {"id": "ALFKI", "name": "Alfreds"}}
    ]
    assert describe(guide["enrich"]).takes_context
