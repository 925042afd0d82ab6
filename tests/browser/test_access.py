"""Who may look and act, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
from playwright.async_api import Browser, expect

from tests.browser.conftest import serving
from tests.browser.shop import Shop
from tests.support.chromium import tab
from tests.support.server import StreamServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN = "a-long-token-of-the-tests"


@pytest.fixture(scope="module")
def shop(server: StreamServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(tmp_path_factory.mktemp("shop"), "guarded", server.tcp_url)
    made.orders(range(5), currency=None)
    made.run()
    return made


async def test_a_token_lets_in_and_leads_on(
    browser: Browser, server: StreamServer, shop: Shop, tmp_path: Path
) -> None:
    with serving("--redis", server.tcp_url, "--token", f"anna={TOKEN}", cwd=tmp_path) as (url, _):
        async with tab(browser, url) as view:
            view.expected = {401}
            await view.open(f"p/{shop.name}/letters/check")
            await expect(view.page.locator("h1")).to_have_text("Log in")
            await view.page.get_by_label("Token").fill("wrong")
            await view.button("Log in").click()
            await expect(view.page.get_by_role("alert")).to_contain_text("wrong")
            await view.page.get_by_label("Token").fill(TOKEN)
            await view.page.keyboard.press("Enter")
            await expect(view.page.locator("h1")).to_contain_text("Dead letters of check")
            await expect(view.page.locator("header")).to_contain_text("anna")

            await view.button("Purge all 5").click()
            await view.button("Purge for good: 5 dead letters").click()
            await expect(view.page.locator("dialog .result")).to_contain_text("5 dead letters purged")
            await view.button("Close").click()
            await view.open(f"p/{shop.name}/audit")
            await expect(view.page.locator("tbody tr").first).to_contain_text("anna")

            await view.button("Log out").click()
            await expect(view.page.locator("h1")).to_have_text("Log in")
            await view.open(f"p/{shop.name}")
            await expect(view.page.locator("h1")).to_have_text("Log in")


async def test_a_page_that_is_read_only_offers_no_action(
    browser: Browser, server: StreamServer, shop: Shop, tmp_path: Path
) -> None:
    shop.orders(range(5, 8), currency=None)
    shop.run()
    with serving("--redis", server.tcp_url, "--read-only", cwd=tmp_path) as (url, _):
        async with tab(browser, url) as view:
            await view.open(f"p/{shop.name}/letters/check")
            await expect(view.page.locator("header")).to_contain_text("read-only")
            await expect(view.page.locator(".all .row").first).to_be_visible()
            await expect(view.page.get_by_role("button", name="Replay")).to_have_count(0)
            await expect(view.page.get_by_role("button", name="Purge")).to_have_count(0)
            await view.page.locator(".all .row a").first.click()
            await view.ready()
            await expect(view.page.locator("pre[aria-label=Record]")).to_be_visible()
            await expect(view.text("Mend and replay")).to_have_count(0)
            await view.open(f"p/{shop.name}/stages/check")
            await expect(view.text("Pause this stage")).to_have_count(0)


async def test_a_stage_is_paused_and_resumed(browser: Browser, served: str, shop: Shop) -> None:
    async with tab(browser, served) as view:
        await view.open(f"p/{shop.name}/stages/check")
        await view.text("Pause this stage").click()
        await view.page.get_by_label("Why").fill("the shop is being repaired")
        await view.button("Pause").click()
        await expect(view.page.locator("main")).to_contain_text("the shop is being repaired")
        await view.open(f"p/{shop.name}")
        await expect(view.page.locator("h1")).to_contain_text("paused")
        await expect(view.page.locator(".attention")).to_contain_text("is paused for")
        await view.button("Resume").click()
        await expect(view.page.locator("main")).not_to_contain_text("paused")


async def test_a_trace_is_a_link_where_traces_are_looked_at(
    browser: Browser, server: StreamServer, shop: Shop, tmp_path: Path
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with redis.Redis(port=server.port) as client:
        fields = {"data": '{"n": 99}', "rsq-rid": "read:99", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        why = {"rsq-dlq-reason": "handler_error", "rsq-dlq-error": "ValueError: no", "rsq-dlq-attempts": "1"}
        entry = client.xadd(f"{{{shop.name}}}:check:dlq", fields | why).decode()
    jaeger = "http://127.0.0.1:16686"
    with serving("--redis", server.tcp_url, "--jaeger", jaeger, cwd=tmp_path) as (url, _):
        async with tab(browser, url) as view:
            await view.open(f"p/{shop.name}/letters/check/{entry}")
            await expect(view.link(f"{trace} in Jaeger")).to_have_attribute("href", f"{jaeger}/trace/{trace}")
            await view.open(f"p/{shop.name}/records/read:99")
            await expect(view.link(f"Trace {trace} in Jaeger")).to_be_visible()
            await expect(view.page.locator(".waterfall")).to_contain_text("dead-lettered")
            await view.link("Its dead letter").click()
            await expect(view.page.locator("h1")).to_have_text(f"Dead letter {entry}")
