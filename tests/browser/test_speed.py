"""How soon the page stands, and what it costs the browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.shop import Shop
from tests.support.chromium import tab
from tests.support.server import StreamServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIGURES = """
new Promise((done) => new PerformanceObserver((list, seen) => {
  seen.disconnect();
  const last = list.getEntries().at(-1);
  const paint = performance.getEntriesByName('first-contentful-paint')[0].startTime;
  const files = performance.getEntriesByType('resource').filter((one) => !one.name.includes('/api/'));
  done([paint, last.startTime, files.length, files.reduce((sum, one) => sum + one.encodedBodySize, 0)]);
}).observe({type: 'largest-contentful-paint', buffered: true}))
"""


async def test_a_pipeline_stands_within_a_second(
    browser: Browser, served: str, server: StreamServer, tmp_path: Path, name: str
) -> None:
    shop = Shop(tmp_path, name, server.tcp_url)
    shop.orders(range(20))
    shop.run()

    async def figures() -> tuple[float, float, float]:
        async with tab(browser, served) as view:
            cdp = await view.page.context.new_cdp_session(view.page)
            await cdp.send("Performance.enable")
            await view.open(f"p/{shop.name}")
            await view.page.locator(".graph").wait_for()
            paint, largest, files, size = await view.page.evaluate(FIGURES)
            told = (await cdp.send("Performance.getMetrics"))["metrics"]
        script = {one["name"]: one["value"] for one in told}["ScriptDuration"] * 1000
        print(f"\nfirst paint {paint:.0f} ms, largest {largest:.0f} ms, script {script:.0f} ms")
        print(f"{files} files, {size:,} bytes")
        return paint, largest, script

    # Generous, and once in five times: other tests may have the processor.
    for _ in range(5):
        paint, largest, script = await figures()
        if paint < 1500 and largest < 3000 and script < 1000:
            return
    pytest.fail("five times it took longer than it may")
