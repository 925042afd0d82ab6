"""Dead letters in a real browser: found, mended, replayed, purged, and very many of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from playwright.async_api import Browser, expect

from tests.browser.conftest import serving
from tests.browser.shop import Shop
from tests.support.chromium import Tab, tab
from tests.support.ports import free_port
from tests.support.server import StreamServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY = 100_000
FILL = """
for i = 1, tonumber(ARGV[1]) do
  redis.call('XADD', KEYS[1], '*', 'data', '{"n":' .. i .. '}', 'rsq-rid', 'read:' .. i,
    'rsq-dlq-reason', 'handler_error', 'rsq-dlq-error', 'ValueError: order ' .. i .. ' is odd',
    'rsq-dlq-traceback', 'Traceback', 'rsq-dlq-attempts', '3', 'rsq-dlq-at', '1764000000')
end
redis.call('HINCRBY', KEYS[2], 'check:dead', ARGV[1])
"""


@pytest.fixture
def shop(server: StreamServer, tmp_path: Path, name: str) -> Shop:
    return Shop(tmp_path, name, server.tcp_url)


@pytest.fixture(scope="module")
def failed(server: StreamServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A pipeline with twenty letters, for tests that leave them where they are."""
    made = Shop(tmp_path_factory.mktemp("failed"), "failed", server.tcp_url)
    made.orders(range(20), currency=None)
    made.run()
    return made


def asked(server: StreamServer, *words: str | int) -> Any:
    with redis.Redis(port=server.port, decode_responses=True) as client:
        return client.execute_command(*words)


async def test_two_hundred_letters_are_replayed(view: Tab, shop: Shop) -> None:
    shop.orders(range(10))
    shop.orders(range(10, 210), currency=None)
    shop.run()
    shop.project.handlers("def check(order: dict) -> dict:\n    return order\n")

    await view.open(f"p/{shop.name}/letters/check")
    await view.button("Replay all 200").click()
    await view.button("Replay: 200 dead letters").click()
    await expect(view.page.locator("dialog .result")).to_contain_text("200 dead letters replayed")
    await view.button("Close").click()
    await expect(view.text("There are none.")).to_be_visible()
    shop.run()

    assert shop.written() == list(range(210))
    await view.open(f"p/{shop.name}/audit")
    await expect(view.page.locator("tbody tr").first).to_contain_text("replay")
    await expect(view.page.locator("tbody tr").first).to_contain_text("200")


async def test_some_letters_of_a_cause_are_purged(view: Tab, shop: Shop) -> None:
    shop.orders(range(20), currency=None)
    shop.orders(range(20, 25), price=-1)
    shop.run()

    await view.open(f"p/{shop.name}/letters/check")
    await (
        view.page.locator("table[aria-label='Dead letters by cause']")
        .get_by_role("link", name="has no currency")
        .click()
    )
    await expect(view.button("Purge all 20")).to_be_visible()
    for at in (0, 3):
        await view.page.locator(".all .row").nth(at).get_by_role("checkbox").check()
    await view.button("Purge 2 chosen").click()
    await view.button("Purge for good: 2 dead letters").click()
    await expect(view.page.locator("dialog .result")).to_contain_text("2 dead letters purged")
    await view.button("Close").click()
    await expect(view.button("Purge all 18")).to_be_visible()

    await view.open(f"p/{shop.name}/letters/check")
    await expect(view.button("Purge all 23")).to_be_visible()


async def test_nothing_is_done_before_it_is_confirmed(view: Tab, failed: Shop) -> None:
    await view.open(f"p/{failed.name}/letters/check")
    await view.button("Purge all 20").click()
    await expect(view.button("Purge for good: 20 dead letters")).to_be_enabled()
    await view.page.keyboard.press("Escape")
    await expect(view.page.locator("dialog")).to_have_count(0)

    await view.open(f"p/{failed.name}/letters/check")
    await expect(view.button("Purge all 20")).to_be_visible()


async def test_letters_that_came_meanwhile_are_not_purged_with_the_others(view: Tab, shop: Shop) -> None:
    shop.orders(range(5), currency=None)
    shop.run()

    await view.open(f"p/{shop.name}/letters/check")
    await view.button("Purge all 5").click()
    await expect(view.button("Purge for good: 5 dead letters")).to_be_enabled()
    shop.orders(range(5, 8), currency=None)
    shop.run()
    await view.button("Purge for good: 5 dead letters").click()
    await expect(view.page.locator("dialog .result")).to_contain_text("5 dead letters purged")
    await view.button("Close").click()

    await expect(view.button("Purge all 3")).to_be_visible()


async def test_an_action_that_others_overtook_is_counted_anew(
    view: Tab, shop: Shop, server: StreamServer
) -> None:
    shop.orders(range(5), currency=None)
    shop.run()

    await view.open(f"p/{shop.name}/letters/check")
    await view.button("Purge all 5").click()
    await expect(view.button("Purge for good: 5 dead letters")).to_be_enabled()
    asked(server, "XTRIM", f"{{{shop.name}}}:check:dlq", "MAXLEN", "=", 3)
    view.expected = {409}
    await view.button("Purge for good: 5 dead letters").click()

    await expect(view.page.locator("dialog [role=alert]")).to_contain_text(
        "5 dead letters had been counted; by now it is 3"
    )
    await expect(view.button("Purge for good: 3 dead letters")).to_be_enabled()


async def test_letters_that_somebody_else_took_are_counted(
    view: Tab, shop: Shop, server: StreamServer
) -> None:
    shop.orders(range(3), currency=None)
    shop.run()

    await view.open(f"p/{shop.name}/letters/check")
    await view.page.get_by_role("checkbox").nth(0).check()
    await view.page.get_by_role("checkbox").nth(1).check()
    asked(server, "XTRIM", f"{{{shop.name}}}:check:dlq", "MAXLEN", "=", 0)
    await view.button("Replay 2 chosen").click()

    await expect(view.page.locator("dialog .dry")).to_contain_text("2 dead letters of these are gone")


async def test_letters_that_could_not_be_counted_are_counted_again(view: Tab, failed: Shop) -> None:
    await view.open(f"p/{failed.name}/letters/check")
    view.expected = {"ERR_"}
    await view.page.route("**/letters/replay", lambda route: route.abort())
    await view.button("Replay all 20").click()
    await expect(view.page.locator("dialog [role=alert]")).to_contain_text("does not answer")
    await view.page.unroute("**/letters/replay")
    await view.button("Count again").click()

    await expect(view.button("Replay: 20 dead letters")).to_be_enabled()
    assert await view.page.locator("dialog [role=alert]").count() == 0


async def test_a_page_left_open_acts_on_a_server_that_was_started_again(
    browser: Browser, server: StreamServer, failed: Shop, tmp_path: Path
) -> None:
    port = free_port()
    async with tab(browser, f"http://127.0.0.1:{port}") as view:
        view.expected = {403}
        with serving("--redis", server.tcp_url, cwd=tmp_path, port=port):
            await view.open(f"p/{failed.name}/letters/check")
        with serving("--redis", server.tcp_url, cwd=tmp_path, port=port):
            await view.button("Replay all 20").click()
            await expect(view.button("Replay: 20 dead letters")).to_be_enabled()


async def test_a_job_that_the_server_forgot_is_not_watched_for_ever(
    browser: Browser, server: StreamServer, shop: Shop, tmp_path: Path
) -> None:
    shop.orders(range(100), currency=None)
    shop.run()
    port = free_port()
    async with tab(browser, f"http://127.0.0.1:{port}") as view:
        view.expected = {404, "ERR_"}
        with serving("--redis", server.tcp_url, cwd=tmp_path, port=port) as (_, process):
            await view.open(f"p/{shop.name}/letters/check")
            await view.button("Replay all 100").click()
            await view.page.get_by_label("Letters a second, at most").fill("1")
            await view.button("Replay: 100 dead letters").click()
            await expect(view.page.locator("dialog progress")).to_be_visible()
            process.kill()  # one that is told to end says how far the job came
        with serving("--redis", server.tcp_url, cwd=tmp_path, port=port):
            await expect(view.page.locator("dialog [role=alert]")).to_contain_text("started again")
            await view.button("Close").click()


async def test_a_letter_is_found_by_an_expression_and_shown_mended(view: Tab, failed: Shop) -> None:
    await view.open(f"p/{failed.name}/letters/check")
    box = await view.page.get_by_label("Only letters for which").bounding_box()
    assert box is not None
    assert box["width"] > 300
    await view.page.get_by_label("Only letters for which").fill("n == 7")
    await view.button("Search").click()
    await expect(view.page.locator(".all .row")).to_have_count(1)
    assert "where=n+%3D%3D+7" in view.page.url
    await view.page.reload()
    await expect(view.page.locator(".all .row")).to_have_count(1)
    await view.page.locator(".all .row a").first.click()
    await view.ready()
    await expect(view.page.locator("pre[aria-label=Record]")).to_contain_text('"n": 7')
    await expect(view.page.locator("pre[aria-label=Traceback]")).to_contain_text("in check")
    await view.page.get_by_label("Set field").fill("currency")
    await view.page.get_by_label("to", exact=True).fill("CHF")

    diff = view.page.locator("pre.diff")
    await expect(diff.locator(".removed")).to_contain_text('"currency": null')
    await expect(diff.locator(".added")).to_contain_text('"currency": "CHF"')
    await view.page.get_by_label("Set field").fill("curency")
    await expect(view.text("The record has no curency; it would be added.")).to_be_visible()
    await view.page.get_by_label("to", exact=True).fill("= prise * 2")
    view.expected = {400, 409}
    await expect(view.page.get_by_role("alert")).to_contain_text("prise")


async def test_the_whole_record_is_edited_and_keeps_its_numbers(view: Tab, shop: Shop) -> None:
    shop.orders([1], currency=None, price=10.0, serial=12345678901234567890)
    shop.run()

    await view.open(f"p/{shop.name}/letters/check")
    await view.page.locator(".all .row a").first.click()
    await view.ready()
    record = view.page.locator("pre[aria-label=Record]")
    await expect(record).to_contain_text('"serial": 12345678901234567890')
    await expect(record).to_contain_text('"price": 10.0')
    await view.button("Edit the whole record").click()
    box = view.page.get_by_label("The record, as JSON")
    text = await box.input_value()
    await box.fill(text.replace('"currency": null', '"currency": '))
    await expect(view.page.get_by_role("alert")).to_contain_text("JSON")
    await expect(view.button("Replay this one")).to_be_disabled()
    await box.fill(text.replace('"currency": null', '"currency": "EUR"'))
    await expect(view.page.locator("pre.diff .added")).to_have_count(1)
    await view.button("Replay this one").click()
    await view.button("Replay: 1 dead letter").click()
    await expect(view.page.locator("dialog .result")).to_contain_text("1 dead letter replayed")
    shop.run()

    (line,) = shop.project.lines("small.jsonl")
    assert (line["currency"], line["serial"]) == ("EUR", 12345678901234567890)
    assert isinstance(line["price"], float)


async def test_bytes_that_are_no_record_are_given_one(view: Tab, shop: Shop) -> None:
    shop.orders([1])
    with (shop.project.root / "in.jsonl").open("a") as file:
        file.write('{"n": 2, broken\n')
    shop.run()

    await view.open(f"p/{shop.name}/letters/read")
    await view.page.locator(".all .row a").first.click()
    await view.ready()
    await view.button("Write the record that it should be").click()
    whole = json.dumps({"n": 2, "price": 1.5, "quantity": 1, "currency": "EUR"})
    await view.page.get_by_label("The record, as JSON").fill(whole)
    await view.button("Replay this one").click()
    await view.button("Replay: 1 dead letter").click()
    await expect(view.page.locator("dialog .result")).to_contain_text("1 dead letter replayed")
    shop.run()

    assert shop.written() == [1, 2]


async def test_a_wrong_expression_is_explained(view: Tab, failed: Shop) -> None:
    view.expected = {400}

    await view.open(f"p/{failed.name}/letters/check")
    await view.page.get_by_label("Only letters for which").fill("n ==")
    await view.button("Search").click()

    await expect(view.page.get_by_role("alert")).to_contain_text("not an expression: it ends too early")


async def test_a_slow_replay_is_watched_and_stopped(view: Tab, shop: Shop, server: StreamServer) -> None:
    shop.orders(range(100), currency=None)
    shop.run()

    await view.open(f"p/{shop.name}/letters/check")
    await view.button("Replay all 100").click()
    await view.page.get_by_label("Letters a second, at most").fill("5")
    await view.button("Replay: 100 dead letters").click()
    await expect(view.page.locator("dialog progress")).to_be_visible()
    await view.button("Stop").click()
    await expect(view.page.locator("dialog .result")).to_contain_text("then stopped")
    await view.button("Close").click()

    left = int(asked(server, "XLEN", f"{{{shop.name}}}:check:dlq"))
    assert 0 < left < 100


@pytest.mark.timeout(400)
async def test_a_hundred_thousand_letters_are_scrolled(view: Tab, shop: Shop, server: StreamServer) -> None:
    shop.orders(range(1))
    shop.run()
    key = f"{{{shop.name}}}"
    for _ in range(20):
        asked(server, "EVAL", FILL, 2, f"{key}:check:dlq", f"{key}:meta", MANY // 20)

    await view.page.goto(f"{view.url}/#/p/{shop.name}/letters/check")
    rows = view.page.locator(".all .row")
    await rows.first.wait_for()
    most = 0
    status = view.page.get_by_role("status").filter(has_text="letters")
    while "more as you scroll" in (await status.text_content() or ""):
        await view.page.locator(".window").evaluate("(node) => { node.scrollTop = node.scrollHeight; }")
        most = max(most, await view.page.locator("*").count())
    await view.page.locator(".window").evaluate("(node) => { node.scrollTop = node.scrollHeight; }")
    await expect(view.page.locator(f"[aria-rowindex='{MANY + 1}']")).to_be_visible()
    await view.page.locator(".window").evaluate("(node) => { node.scrollTop = node.scrollHeight / 2; }")
    await expect(view.page.locator(f"[aria-rowindex='{MANY // 2}']")).to_be_visible()

    assert most < 1500, f"{most} elements"
    heap = json.loads(await view.page.evaluate("JSON.stringify(performance.memory.usedJSHeapSize)"))
    assert heap < 200_000_000, heap


@pytest.mark.parametrize("width", [1280, 360])
async def test_errors_that_begin_alike_are_told_apart_by_their_ends_in_the_list(
    view: Tab, shop: Shop, width: int
) -> None:
    shop.project.handlers(
        """
        def check(order: dict) -> dict:
            raise ValueError("it is not taken, since " + "its customer has not paid, " * 9 + order["why"])
        """
    )
    shop.orders([0], why="and is in\nAachen")
    shop.orders([1], why="and is in Zürich")
    shop.run()
    await view.page.set_viewport_size({"width": width, "height": 800})

    await view.open(f"p/{shop.name}/letters/check")

    errors = view.page.locator(".all .row .c4")
    for at, end in enumerate(("Zürich", "Aachen")):
        last = errors.nth(at).locator("span span").last
        await expect(last).to_contain_text(f"and is in {end}")
        cell, text = await errors.nth(at).bounding_box(), await last.bounding_box()
        assert cell is not None
        assert text is not None
        assert text["x"] >= cell["x"]
        assert text["x"] + text["width"] <= cell["x"] + cell["width"], "its end is seen"
