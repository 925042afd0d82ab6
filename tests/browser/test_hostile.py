"""What records, errors and ids hold is shown as text, whatever it holds."""

from __future__ import annotations

import json

import pytest
import redis
from playwright.async_api import expect

from tests.browser.shop import Shop
from tests.support.chromium import PHONE, Tab
from tests.support.server import StreamServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"
QUOTES = "'\"`</pre></textarea>--><svg/onload=alert(3)>{{7*7}}${7*7}&lt;b&gt;"
BIDI = "abc\u202etxt.exe\u2066\u200b\u0000\x1b[31m"
LINK = "javascript:alert(4)"
HOSTILE = {
    SCRIPT: QUOTES,
    "quotes": QUOTES,
    "bidi": BIDI,
    "link": LINK,
    "__proto__": {"polluted": True},
    "constructor": SCRIPT,
    "long": "x" * 1_000_000,
    "deep": json.loads("[" * 60 + "]" * 60),
}


@pytest.fixture(scope="module")
def shop(server: StreamServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A pipeline with one hostile letter, and one of bytes that are not a record."""
    made = Shop(tmp_path_factory.mktemp("hostile"), "hostile", server.tcp_url)
    made.orders(range(3))
    made.run()
    with redis.Redis(port=server.port) as client:
        for data in (json.dumps(HOSTILE), b"\xff\xfe<script>alert(5)</script>"):
            fields = {
                "data": data,
                "rsq-rid": f"read:{SCRIPT}",
                "rsq-dlq-reason": SCRIPT,
                "rsq-dlq-error": f"ValueError: {SCRIPT} {QUOTES} {BIDI} {'y' * 100_000}",
                "rsq-dlq-traceback": f"Traceback {SCRIPT} {BIDI}",
                "rsq-dlq-attempts": "3",
                "rsq-dlq-entry": LINK,
                SCRIPT: SCRIPT,
            }
            client.xadd("{hostile}:check:dlq", fields)
    return made


async def test_hostile_letters_are_text(view: Tab, shop: Shop) -> None:
    await view.open(f"p/{shop.name}")
    await expect(view.page.locator(".attention")).to_contain_text("<img src=x")
    await view.open(f"p/{shop.name}/letters")
    await expect(view.page.locator("tbody")).to_contain_text(SCRIPT[:20])
    await view.open(f"p/{shop.name}/letters/check")
    await expect(view.page.locator(".all .row")).to_have_count(2)
    await view.page.locator(".all .row").nth(1).locator("a").first.click()
    await view.ready()

    record = view.page.locator("pre[aria-label=Record]")
    await expect(record).to_contain_text(json.dumps(QUOTES, ensure_ascii=False)[1:-1])
    await expect(record).to_contain_text("characters)")
    assert "\u202e" not in (await view.page.locator("main").text_content() or "")
    await expect(view.page.locator("pre[aria-label=Traceback]")).to_contain_text("\\u202e")
    await view.button("Show all of it").click()
    await expect(record).to_contain_text("x" * 5000)
    assert await view.page.locator("main img, main script, main svg").count() == 0
    assert await view.page.evaluate("({}).polluted === undefined")
    assert await view.page.locator("a[href^='javascript']").count() == 0


async def test_bytes_that_are_no_record_are_text(view: Tab, shop: Shop) -> None:
    await view.open(f"p/{shop.name}/letters/check")
    await view.page.locator(".all .row").first.locator("a").first.click()
    await view.ready()

    await expect(view.page.locator("pre[aria-label=Record]")).to_contain_text(
        "\\xff\\xfe<script>alert(5)</script>"
    )


async def test_a_hostile_record_is_followed(view: Tab, shop: Shop) -> None:
    await view.open(f"p/{shop.name}/letters/check")
    await view.page.locator(".all .row").nth(1).locator(".c3 a").click()
    await view.ready()

    await expect(view.page.locator("h1")).to_contain_text(SCRIPT)
    await expect(view.page.locator(".waterfall")).to_contain_text("dead-lettered")
    assert await view.page.locator("main img, main script").count() == 0


async def test_hostile_words_in_the_address_are_text(view: Tab) -> None:
    view.expected = {400, 404}
    for where in (
        SCRIPT,
        f"p/{SCRIPT}",
        "p/x/letters/%E0%A4%A",
        f"p/a/records/{SCRIPT}",
        f"p/a/letters/b?group={SCRIPT}",
    ):
        await view.page.goto(f"{view.url}/#/{where.replace('/s', '%2Fs')}")
        await view.page.locator("main h1, main [role=alert]").first.wait_for()
        assert await view.page.locator("main img, main script").count() == 0


async def test_long_words_do_not_widen_a_phone(view: Tab, shop: Shop) -> None:
    await view.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    for where in ("p/{0}", "p/{0}/stages/check", "p/{0}/letters", "p/{0}/letters/check"):
        await view.open(where.format(shop.name))
        assert await view.width() <= PHONE[0], where
    await view.page.locator(".all .row a").first.click()
    await view.ready()

    assert await view.width() <= PHONE[0]
    assert await view.page.locator(".why").evaluate("(node) => node.offsetHeight") < 200
    assert not await view.violations()
