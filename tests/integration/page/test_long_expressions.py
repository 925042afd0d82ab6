"""Expressions that take long: others are served meanwhile, and what was looked at is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from tests.integration.ops.shop import Shop
from tests.support.served_page import Answer, ServedPage

SLOW = "n >= 0 and any(a + b < 0 for a in range(400) for b in range(400))"
"""Some 10 ms a record on any machine: a second and more for 200."""


async def longest_wait(asked: Awaitable[Answer]) -> float:
    """Ask for something that takes long; tell which part of that time others waited in one piece."""
    asking, began = asyncio.ensure_future(asked), time.monotonic()
    last, longest = began, 0.0
    while not asking.done():
        await asyncio.sleep(0.001)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    found = await asking
    assert found.status == 200, found
    return longest / (last - began)


async def test_others_are_served_while_letters_are_searched(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters(range(200))

    path = f"/api/pipelines/{shop.pipeline}/stages/price/letters"
    part = await longest_wait(page.ask("GET", path, params={"where": SLOW}))

    assert part < 0.4


async def test_others_are_served_while_a_replay_is_counted(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters(range(200))

    path = f"/pipelines/{shop.pipeline}/stages/price/letters/replay"
    part = await longest_wait(page.post(path, where=SLOW, dry_run=True))

    assert part < 0.4


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
