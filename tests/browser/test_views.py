"""The views of a pipeline, in a real browser."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
import pytest_asyncio
import redis
from playwright.async_api import Browser, Route, expect

from tests.browser.conftest import serving
from tests.browser.screenshots import past
from tests.browser.shop import Shop
from tests.support.chromium import DESK, PHONE, Tab, tab
from tests.support.command_line import rsq_pipe, start
from tests.support.ports import free_port
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="session")

VIEWS = (
    "",
    "p/{0}",
    "p/{0}/stages/{1}",
    "p/{0}/letters",
    "p/{0}/letters/{1}",
    "p/{0}/records",
    "p/{0}/workers",
    "p/{0}/audit",
)


@pytest.fixture(scope="module")
def shop(server: StreamServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A pipeline at rest, with dead letters of two causes."""
    made = Shop(tmp_path_factory.mktemp("shop"), "shop", server.tcp_url)
    made.orders(range(200))
    made.orders(range(200, 212), currency=None)
    made.orders(range(212, 215), price=-1)
    made.run()
    return made


@pytest.fixture(scope="module")
def busy(server: StreamServer, served: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A pipeline that runs, with a stage that is slower than those above it; its name."""
    project = Project(tmp_path_factory.mktemp("busy"), "busy")
    project.spec(
        """
        read:
          source: {type: jsonl, path: in.jsonl}
        slow:
          filter: "n >= 0"
          rate: 400/s
          fuse: false
        write:
          sink: {type: jsonl, path: out.jsonl}
        """,
        defaults="defaults: {batch: {size: 20}}\nmax_backlog: 100000",
    )
    project.records(range(60_000))
    process = start("run", project.path, "--redis", server.tcp_url, cwd=project.root)
    eventually(lambda: b'"busy"' in urlopen(f"{served}/api/pipelines").read(), 20, "the pipeline runs")
    yield "busy"
    process.terminate()
    process.communicate(timeout=PATIENCE)


async def test_every_view_of_a_pipeline_under_load_is_drawn(view: Tab, busy: str) -> None:
    for where in VIEWS:
        await view.open(where.format(busy, "slow"))
        await expect(view.page.get_by_role("alert")).to_have_count(0)

    await view.open(f"p/{busy}")
    await expect(view.page.locator("header .badge.ok")).to_be_visible()
    backlog = view.page.locator("tr", has_text="slow").locator("td").nth(4)
    before = await backlog.text_content()
    await expect(backlog).not_to_have_text(before or "")


async def test_an_edge_is_thicker_where_records_wait(view: Tab, busy: str) -> None:
    await view.open(f"p/{busy}")
    await view.page.locator(".edge.waiting").first.wait_for()
    widths = await view.page.locator(".edge path:not(.tip)").evaluate_all(
        "(all) => all.map((one) => Number(one.getAttribute('stroke-width')))"
    )

    assert widths[0] > 1.5 * widths[1], widths


async def test_what_stands_before_a_stage_is_found_by_an_expression(view: Tab, busy: str) -> None:
    await view.open(f"p/{busy}/stages/slow")
    await view.page.get_by_label("Only records for which").fill(
        "n % 1000 == 7 and entry['state'] == 'waiting'"
    )
    await view.button("Look").click()
    await view.page.locator("details.letter summary").first.click()

    await expect(view.page.locator("details.letter pre").first).to_contain_text("007")
    await expect(view.page.get_by_role("status").filter(has_text="looked at")).to_be_visible()


async def test_the_table_says_what_the_graph_shows(view: Tab, shop: Shop) -> None:
    await view.open(f"p/{shop.name}")
    nodes = await view.page.locator(".graph [data-stage]").evaluate_all(
        "(all) => all.map((one) => one.dataset.stage)"
    )
    rows = await view.page.locator("table[aria-label=Stages] tbody th").all_text_contents()

    assert sorted(nodes) == sorted(rows) == ["check", "large", "price", "read", "route", "small"]
    await expect(view.page.locator("[data-stage=check]")).to_contain_text("15 dead")
    await expect(view.page.locator("[data-stage=check] title")).to_contain_text("15 dead letters")


async def test_a_stage_has_as_many_records_as_status_says(
    view: Tab, shop: Shop, server: StreamServer
) -> None:
    words = ("status", shop.project.path, "--redis", server.tcp_url, "--json")
    status = json.loads(rsq_pipe(*words, cwd=shop.project.root).stdout)
    counters = {one["name"]: one["counters"] for one in status["stages"]}
    check = counters["check"]
    assert check["retried"] > 0

    await view.open(f"p/{shop.name}/stages/read")
    await expect(view.page.locator(".facts div", has_text="Records")).to_have_text("Records215")
    await view.open(f"p/{shop.name}/stages/check")
    await expect(view.page.locator(".facts div", has_text="Records")).to_have_text("Records215")
    await expect(view.page.locator(".facts div", has_text="Attempts")).to_have_text(f"Attempts{check['in']}")


async def test_arrow_keys_go_from_stage_to_stage(view: Tab, shop: Shop) -> None:
    await view.open(f"p/{shop.name}")
    await view.page.locator("[data-stage=read]").focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft"):
        await view.page.keyboard.press(key)
        seen.append(await view.page.evaluate("document.activeElement.dataset.stage"))
    await view.page.keyboard.press("Enter")
    await view.ready()

    assert seen[:3] == ["check", "price", "route"]
    assert {seen[3], seen[4], seen[5]} == {"large", "small"}
    assert seen[6] == "route"
    await expect(view.page.locator("h1")).to_contain_text("route")


async def test_focus_outlives_new_numbers(view: Tab, busy: str) -> None:
    await view.open(f"p/{busy}")
    await view.page.locator("[data-stage=slow]").focus()
    backlog = view.page.locator("tr", has_text="slow").locator("td").nth(4)
    await expect(backlog).not_to_have_text(await backlog.text_content() or "")

    assert await view.page.evaluate("document.activeElement.dataset.stage") == "slow"


async def test_a_link_leads_to_a_view_and_the_back_button_out_of_it(view: Tab, shop: Shop) -> None:
    await view.open("")
    await view.link(shop.name).click()
    await view.page.locator("h1", has_text=shop.name).wait_for()
    await view.page.locator("table[aria-label=Stages]").get_by_role("link", name="check", exact=True).click()
    await view.page.locator("h1", has_text="check").wait_for()
    address = view.page.url
    await view.page.go_back()
    await view.page.locator("h1", has_text=shop.name).wait_for()
    await view.page.goto("about:blank")
    await view.page.goto(address)

    await expect(view.page.locator("h1")).to_contain_text("check")
    assert await view.page.title() == f"check · {shop.name} · rsq-pipe"


async def test_an_answer_that_comes_late_draws_nothing_over_the_next_view(view: Tab, shop: Shop) -> None:
    async def late(route: Route) -> None:
        held.append(route)

    held: list[Route] = []
    await view.page.route("**/letters?*", late)
    await view.page.goto(f"{view.url}/#/p/{shop.name}/letters/check")
    await wait_until(lambda: held, 5, "the letters are asked for")
    await view.page.evaluate(f"location.hash = '#/p/{shop.name}/audit'")
    await expect(view.page.locator("h1")).to_have_text("Audit")
    for route in held:
        await route.continue_()
    await view.page.wait_for_load_state("networkidle")

    await expect(view.page.locator("h1")).to_have_text("Audit")
    assert view.page.url.endswith(f"#/p/{shop.name}/audit")


async def test_the_back_button_closes_a_dialog(view: Tab, shop: Shop) -> None:
    await view.open(f"p/{shop.name}/audit")
    await view.open(f"p/{shop.name}/letters/check")
    await view.button("Purge all 15").click()
    await expect(view.page.locator("dialog")).to_be_visible()
    await view.page.go_back()

    await expect(view.page.locator("dialog")).to_have_count(0)
    await expect(view.page.locator("h1")).to_have_text("Audit")


async def test_a_day_is_drawn_and_read_off(
    view: Tab, server: StreamServer, tmp_path: Path, name: str
) -> None:
    with redis.Redis(port=server.port) as client:
        past(client, name, ["read", "check", "price", "route", "large", "small"], 9)
    made = Shop(tmp_path, name, server.tcp_url)
    made.orders(range(3))
    made.run()
    await view.open(f"p/{name}")
    rates, backlogs = (view.page.locator("figure svg[role=img]").nth(at) for at in (0, 1))

    await expect(rates).to_have_attribute("aria-label", re.compile("^Rate over the last 24 hours: "))
    await expect(backlogs).to_have_attribute("aria-label", re.compile("price now "))
    paths = await rates.locator(".line").evaluate_all(
        "(all) => all.map((one) => one.getAttribute('d').length)"
    )
    assert len(paths) == 6
    assert min(paths) > 1000
    await rates.hover()
    await expect(view.page.locator("figure .readout").first).to_contain_text(
        re.compile(r"check \d+(\.\d+)?/s")
    )


async def test_nothing_moves_for_who_wants_no_motion(browser: Browser, served: str, shop: Shop) -> None:
    async with tab(browser, served, reduced_motion="reduce") as view:
        await view.open(f"p/{shop.name}")
        moving = await view.page.locator("body *").evaluate_all(
            "(all) => all.filter((one) => getComputedStyle(one).transitionDuration !== '0s').length"
        )

    assert moving == 0


async def test_focus_is_seen_and_the_content_reached_at_once(view: Tab, shop: Shop) -> None:
    await view.open(f"p/{shop.name}")
    await view.page.keyboard.press("Tab")
    await expect(view.link("To the content")).to_be_focused()
    await view.page.keyboard.press("Enter")
    await expect(view.page.locator("#main")).to_be_focused()
    await view.page.keyboard.press("Tab")
    outline = await view.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")

    assert outline == "solid"
    await expect(view.page.locator("h1")).to_contain_text(shop.name)


async def test_what_is_not_there_is_said(view: Tab) -> None:
    view.expected = {404}
    await view.open("nowhere")
    await expect(view.page.locator("h1")).to_have_text("Nothing is here")
    await view.open("p/never-ran")
    await expect(view.page.get_by_role("alert")).to_contain_text("never-ran")


async def test_numbers_go_on_after_the_page_was_away(
    browser: Browser, server: StreamServer, shop: Shop, tmp_path: Path
) -> None:
    port = free_port()
    async with tab(browser, f"http://127.0.0.1:{port}") as view:
        view.expected = {"ERR_"}  # a browser may say so when the page is back already
        with serving("--redis", server.tcp_url, cwd=tmp_path, port=port):
            await view.open(f"p/{shop.name}")
            await expect(view.page.locator("header .badge.ok")).to_be_visible()
        await expect(view.page.locator("header")).to_contain_text("not live: numbers of")
        with serving("--redis", server.tcp_url, cwd=tmp_path, port=port):
            await expect(view.page.locator("header .badge.ok")).to_be_visible()


async def test_a_line_on_which_nothing_comes_is_not_live(
    browser: Browser, server: StreamServer, shop: Shop, tmp_path: Path
) -> None:
    with serving("--redis", server.tcp_url, cwd=tmp_path) as (url, process):
        async with tab(browser, url) as view:
            await view.open(f"p/{shop.name}")
            await expect(view.page.locator("header .badge.ok")).to_be_visible()
            with frozen(process):
                await expect(view.page.locator("header")).to_contain_text("not live: numbers of")
            await expect(view.page.locator("header .badge.ok")).to_be_visible()


async def test_a_list_of_pipelines_that_is_not_answered_says_so(
    browser: Browser, server: StreamServer, tmp_path: Path
) -> None:
    with serving("--redis", server.tcp_url, cwd=tmp_path) as (url, process):
        async with tab(browser, url) as view:
            await view.open()
            with frozen(process):
                await expect(view.page.get_by_role("alert")).to_contain_text("does not answer")
            await expect(view.page.get_by_role("alert")).to_have_count(0)


@contextmanager
def frozen(process: subprocess.Popen[str]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def test_the_list_and_the_pipeline_say_that_a_run_ended_by_an_error(
    view: Tab, server: StreamServer, tmp_path: Path
) -> None:
    shop = Shop(tmp_path, "broken-off", server.tcp_url)
    shop.project.spec(
        "read: {source: {type: jsonl, path: in.jsonl}}\nout: {sink: {type: jsonl, path: in.jsonl/x}}"
    )
    shop.orders(range(3))
    done = rsq_pipe("run", shop.project.path, "--redis", server.tcp_url, cwd=shop.project.root)
    assert done.returncode == 1, done.stderr

    await view.open()

    row = view.page.get_by_role("row", name=shop.name)
    await expect(row.locator(".badge.bad")).to_have_text("■ ended by an error")
    await view.open(f"p/{shop.name}")
    await expect(view.page.locator("h1 .badge")).to_have_text("■ ended by an error")


async def test_why_numbers_are_old_is_said_where_they_stand(
    view: Tab, server: StreamServer, tmp_path: Path
) -> None:
    shop = Shop(tmp_path, "deleted", server.tcp_url)
    shop.orders(range(3))
    shop.run()
    await view.open(f"p/{shop.name}")
    view.expected = {404}
    gone = rsq_pipe("delete", shop.name, "--redis", server.tcp_url, "--yes", cwd=shop.project.root)
    assert gone.returncode == 0, gone.stderr

    await expect(view.page.get_by_role("alert")).to_contain_text("These numbers are old: ")
    await expect(view.page.get_by_role("alert")).to_contain_text("it was deleted")


async def test_fifty_stages_are_drawn(view: Tab, server: StreamServer, tmp_path: Path) -> None:
    project = Project(tmp_path, "fifty")
    stages = ["read:\n  source: {type: jsonl, path: in.jsonl}"]
    for at in range(8):
        above = f"route.to{at}" if at else "route.to0"
        stages += [f"map-{at}-0:\n  from: {above}\n  map: {{a: n}}\n  fuse: false"]
        stages += [
            f"map-{at}-{step}:\n  from: map-{at}-{step - 1}\n  map: {{a: n}}\n  fuse: false"
            for step in range(1, 5)
        ]
        stages += [f"write-{at}:\n  from: map-{at}-4\n  sink: {{type: jsonl, path: out-{at}.jsonl}}"]
    routes = "".join(f"\n    - {{to: to{at}, when: n % 8 == {at}}}" for at in range(7))
    stages.insert(1, f"route:\n  route:{routes}\n    - {{to: to7, otherwise: true}}")
    project.spec("\n".join(stages))
    project.records(range(80))
    process = start("run", project.path, "--redis", server.tcp_url, cwd=tmp_path)
    assert process.communicate(timeout=PATIENCE)[0] is not None
    await view.open("p/fifty")

    await expect(view.page.locator("[data-stage]")).to_have_count(50)
    assert await view.width() <= DESK[0]
    assert await view.page.evaluate(OVERLAPS) == 0
    assert await view.page.evaluate(LONGEST_FRAME) < 1000  # milliseconds; others may have the processor


OVERLAPS = """
(() => {
  const boxes = [...document.querySelectorAll('[data-stage] rect')].map((one) => one.getBoundingClientRect());
  const meet = (a, b) => a.x < b.right && b.x < a.right && a.y < b.bottom && b.y < a.bottom;
  return boxes.flatMap((a, at) => boxes.slice(at + 1).filter((b) => meet(a, b))).length;
})()
"""
LONGEST_FRAME = """
new Promise((done) => {
  let most = 0;
  let last = performance.now();
  const end = last + 2500;
  const tick = (now) => {
    most = Math.max(most, now - last);
    last = now;
    if (now < end) requestAnimationFrame(tick);
    else done(most);
  };
  requestAnimationFrame(tick);
})
"""


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser, served: str) -> AsyncIterator[Tab]:
    async with tab(browser, served, size=PHONE, has_touch=True) as opened:
        yield opened


async def test_long_names_leave_room_for_signs_and_words(
    phone: Tab, server: StreamServer, tmp_path: Path
) -> None:
    names = [f"{letter * 40}-{end}" for letter in "mw" for end in ("eu", "us")]
    shop = Shop(tmp_path, "long-names", server.tcp_url)
    stages = "".join(f"{name}: {{filter: 'n > 1', fuse: false}}\n" for name in names)
    shop.project.spec(
        f"read: {{source: {{type: jsonl, path: in.jsonl}}}}\n{stages}out: {{sink: {{type: stdout}}}}"
    )
    shop.orders(range(3))
    shop.run()

    await phone.open(f"p/{shop.name}")

    boxes = phone.page.locator("[data-stage]")
    await expect(boxes).to_have_count(len(names) + 2)
    over = """(node) => node.querySelector('.name').getBoundingClientRect().right
        > node.querySelector('.sign').getBoundingClientRect().left"""
    assert [await box.evaluate(over) for box in await boxes.all()] == [False] * (len(names) + 2)
    shown = await phone.page.locator("[data-stage] .name").all_text_contents()
    assert len({*shown}) == len(names) + 2, "names that differ at their ends"
    words = """(badge) => { const range = document.createRange(); range.selectNodeContents(badge.lastChild);
        return range.getClientRects().length; }"""
    badge = phone.page.locator("main table .badge", has_text="at rest").first
    assert await badge.evaluate(words) <= 2, "no word is broken"


async def test_no_view_is_wider_than_a_phone(phone: Tab, shop: Shop) -> None:
    for where in VIEWS:
        await phone.open(where.format(shop.name, "check"))
        assert await phone.width() <= PHONE[0], where
    await phone.open(f"p/{shop.name}/letters/check")
    await phone.page.locator(".all .row a").first.click()
    await phone.ready()

    assert await phone.width() <= PHONE[0]


async def test_the_page_is_dark_where_the_system_is(browser: Browser, served: str, shop: Shop) -> None:
    ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    async with tab(browser, served, dark=True) as view:
        await view.open(f"p/{shop.name}")
        dark = await view.page.evaluate(ground)
        await view.page.emulate_media(color_scheme="light")
        light = await view.page.evaluate(ground)

    assert max(dark[:3]) < 50
    assert min(light[:3]) > 230


@pytest.mark.parametrize(("size", "dark"), [(DESK, False), (PHONE, True)], ids=["desk-light", "phone-dark"])
async def test_axe_finds_nothing_in_any_view(
    browser: Browser, served: str, shop: Shop, dark: bool, size: tuple[int, int]
) -> None:
    async with tab(browser, served, dark=dark, size=size, bypass_csp=True) as view:
        found = {}
        for where in VIEWS:
            await view.open(where.format(shop.name, "check"))
            found[where] = await view.violations()
        await view.open(f"p/{shop.name}/letters/check")
        await view.page.locator(".all .row a").first.click()
        await view.ready()
        found["letter"] = await view.violations()
        await view.button("Purge").click()
        await expect(view.page.locator("dialog")).to_contain_text("1 dead letter would be purged")
        found["dialog"] = await view.violations()

    wrong = [f"{where}: {one}" for where, some in found.items() for one in some]
    assert not wrong, "\n".join(wrong)
