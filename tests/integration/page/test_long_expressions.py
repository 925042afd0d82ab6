"""Expressions that take long: others are served meanwhile, and what was looked at is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from rsq_pipe.spec.expressions.expression import Expression, compile_expression
from tests.integration.ops.shop import Shop
from tests.support.served_page import Answer, ServedPage

SLOW = "n >= 0 and any(a + b < 0 for a in range(400) for b in range(400))"
"""Some 10 ms a record: 20 seconds for 2,000."""


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The records for which an expression of a search was evaluated."""
    found: list[object] = []

    def compiled(text: str) -> Expression:
        expression = compile_expression(text)

        def evaluate(record: Mapping[str, Any]) -> Any:
            found.append(record)
            return expression.evaluate(record)

        return replace(expression, evaluate=evaluate)

    monkeypatch.setattr("rsq_pipe.page.dead_letters.compile_expression", compiled)
    # Each record takes longer than that, so that the load of the machine makes no difference.
    monkeypatch.setattr("rsq_pipe.ops.dead_letters.dead_letters.LONGEST_TURN", 0.0)
    return found


async def most_in_a_turn(asked: Awaitable[Answer], looked_at: list[object]) -> int:
    """Ask for something that takes long; tell how many records were looked at between two turns of others."""
    asking = asyncio.ensure_future(asked)
    last = most = 0
    while not asking.done():
        await asyncio.sleep(0)
        most, last = max(most, len(looked_at) - last), len(looked_at)
    found = await asking
    assert found.status == 200, found
    return most


async def test_others_are_served_while_letters_are_searched(
    shop: Shop, page: ServedPage, looked_at: list[object]
) -> None:
    await shop.add_letters(range(200))

    path = f"/api/pipelines/{shop.pipeline}/stages/price/letters"
    most = await most_in_a_turn(page.ask("GET", path, params={"where": "n < 0"}), looked_at)

    assert most <= 2
    assert len(looked_at) > 20


async def test_others_are_served_while_a_replay_is_counted(
    shop: Shop, page: ServedPage, looked_at: list[object]
) -> None:
    await shop.add_letters(range(200))

    path = f"/pipelines/{shop.pipeline}/stages/price/letters/replay"
    most = await most_in_a_turn(page.post(path, where="n < 0", dry_run=True), looked_at)

    assert most <= 2
    assert len(looked_at) > 20


async def test_what_stands_before_a_stage_is_searched_for_a_bounded_time(
    shop: Shop, page: ServedPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsq_pipe.page.stages.PATIENCE", 0.2)
    await shop.add_letters([1])
    for number in range(2_000):
        await shop.redis("XADD", shop.key("read"), "*", "data", f'{{"n":{number}}}')

    found = await page.get(f"/pipelines/{shop.pipeline}/stages/price/records", where=SLOW)

    assert (found["records"], found["more"]) == ([], True)
    assert 0 < found["looked_at"] < 2_000
