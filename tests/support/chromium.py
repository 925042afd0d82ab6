"""Chromium: Debian's, driven by playwright; a tab notes whatever goes wrong in it."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from tests.support.absent import absent
from tests.support.signals import PATIENCE, wait_until

DESK = (1280, 800)
PHONE = (400, 800)
_BUSY = re.compile("(Loading|Counting by cause|Looking)…")

AXE = Path(__file__).parents[1] / "browser/vendor/axe.min.js"


def binary() -> str:
    """Find it; if it is missing, a test that needs it is skipped, except in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        absent("chromium on PATH", "on Debian and Ubuntu: apt install chromium")
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run one."""
    async with async_playwright() as playwright:
        # Without its sandbox, which needs rights that a container does not have; it only opens our own pages.
        words = ["--no-sandbox", "--disable-dev-shm-usage", "--font-render-hinting=none"]
        browser = await playwright.chromium.launch(executable_path=binary(), args=words)
        yield browser
        await browser.close()


# Playwright waits for five seconds.
expect.set_options(timeout=PATIENCE * 1000)


class Tab:
    """
    Hold one tab, and what went wrong in it.

    Args:
        page: Playwright's.
        url: Where the page is served.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.expected: set[int | str] = set()
        page.on(
            "console",
            lambda said: self._note(said.type in {"error", "warning"}, f"{said.text} {said.location}"),
        )
        page.on("pageerror", lambda error: self.faults.append(f"{error}\n{error.stack}"))
        page.on("dialog", lambda dialog: self.faults.append(f"a dialog of the browser: {dialog.message}"))
        page.on("response", lambda answer: self._note(answer.status >= 400, f"{answer.status} {answer.url}"))

    def _note(self, wrong: bool, what: str) -> None:
        if wrong and not any(str(status) in what for status in self.expected):
            self.faults.append(what)

    async def open(self, where: str = "") -> None:
        """Go to a view by its address, and wait until it is complete."""
        before = await self._shown()
        address = f"{self.url}/#/{where}"
        if self.page.url == address:
            await self.page.reload()
            before = ""
        else:
            await self.page.goto(address)
        await wait_until(lambda: self._another(before), what=f"another view than the one before {where}")
        await self.ready()

    async def _shown(self) -> str:
        if not self.page.url.startswith(self.url):
            return ""
        return await self.page.locator("#main").get_attribute("data-shown") or ""

    async def _another(self, before: str) -> bool:
        return await self._shown() not in {"", before}

    async def ready(self) -> None:
        """Wait until nothing in the view is still being loaded."""
        await self.page.locator("main h1").first.wait_for()
        await expect(self.page.locator("main")).not_to_contain_text(_BUSY)

    def text(self, words: str) -> Locator:
        return self.page.get_by_text(words)

    def button(self, words: str) -> Locator:
        return self.page.get_by_role("button", name=words)

    def link(self, words: str) -> Locator:
        return self.page.get_by_role("link", name=words)

    async def width(self) -> int:
        """Return how wide the document is."""
        found: int = await self.page.evaluate("document.documentElement.scrollWidth")
        return found

    async def violations(self) -> list[str]:
        """Have axe look for what keeps people from using the view."""
        # Evaluated as the developer tools would: the page's policy lets no foreign script in.
        await self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {one['help']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
            for one in found["violations"]
            for node in one["nodes"][:5]
        ]


@asynccontextmanager
async def tab(
    browser: Browser, url: str, *, size: tuple[int, int] = DESK, dark: bool = False, **settings: Any
) -> AsyncIterator[Tab]:
    """Open a separate tab, without cookies of others; nothing may go wrong in it."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light", **settings
    )
    context.set_default_timeout(PATIENCE * 1000)
    found = Tab(await context.new_page(), url)
    try:
        yield found
    finally:
        await context.close()
    if found.faults:
        raise AssertionError("\n".join(found.faults))
