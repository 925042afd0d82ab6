"""The operator's task, from the page alone: twelve orders are missing; find out why, mend and replay them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.shop import Shop
from tests.support.chromium import Tab
from tests.support.server import StreamServer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_missing_orders_are_found_mended_and_replayed_in_seven_clicks(
    view: Tab, server: StreamServer, tmp_path: Path, name: str, record_property: object
) -> None:
    shop = Shop(tmp_path, name, server.tcp_url)
    shop.orders(range(300))
    shop.orders(range(300, 312), currency=None)
    shop.orders(range(312, 315), price=-1)
    shop.run()
    assert len(shop.written()) == 300
    clicks = 0
    began = time.monotonic()

    async def click(what: str, role: str = "button") -> None:
        nonlocal clicks
        clicks += 1
        await view.page.get_by_role(role, name=what).first.click()  # type: ignore[arg-type]

    await view.open("")
    await click(shop.name, "link")
    # What is wrong, where, and since when stands on the first view.
    needs = view.page.locator(".attention li")
    await expect(needs).to_contain_text("check has 15 dead letters, the first")
    await expect(needs).to_contain_text("12 × ValueError: order # has no currency")
    await click("Look at them", "link")
    await click("order # has no currency", "link")
    await expect(view.button("Replay all 12")).to_be_visible()
    await view.page.locator(".all .row a").first.click()
    clicks += 1
    await view.page.get_by_label("Set field").fill("currency")
    await view.page.get_by_label("to", exact=True).fill("EUR")
    await expect(view.page.locator("pre.diff .added")).to_contain_text('"currency": "EUR"')
    await click("Replay all of this cause")
    await click("Replay: 12 dead letters")
    await expect(view.page.locator("dialog .result")).to_contain_text("12 dead letters replayed")
    await click("Close")
    seconds = time.monotonic() - began
    shop.run()

    assert shop.written() == list(range(312))
    assert clicks == 7
    assert seconds < 15
    print(f"\n{clicks} clicks and 2 fields in {seconds:.1f} s")
