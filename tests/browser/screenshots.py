"""The pictures of the page in the documents, of the examples with some bad records: `make screenshots`."""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import redis
from playwright.async_api import Browser, expect

from tests.browser.conftest import serving
from tests.conftest import SERVERS
from tests.support.chromium import PHONE, Tab, chromium, tab
from tests.support.command_line import rsq_pipe, start
from tests.support.server import StreamServer
from tests.support.signals import wait_until

ROOT = Path(__file__).parents[2]
LARGEST = 150_000
WIDE = (1120, 800)
DAY = 24 * 60
LETTERS = 15
"""Orders that are bad."""


def main(folder: Path) -> None:
    """Run three pipelines, one after the other at rest and two slowly, and take pictures of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(StreamServer(SERVERS["valkey"], tcp=True))
        prepare(root)
        with redis.Redis(port=server.port) as client:
            past(
                client,
                "orders",
                ["read", "validate", "enrich", "price", "route", "large", "small", "unshipped"],
                9,
            )
            past(
                client,
                "flights",
                ["read", "carrier", "shape", "route", "cancelled", "delayed", "on_time"],
                310,
            )
        done = rsq_pipe("run", "pipelines/payments.yaml", "--redis", server.tcp_url, cwd=root)
        assert done.returncode in {0, 4}, done.stderr
        for name in ("orders", "flights"):
            stack.enter_context(running(root / f"pipelines/{name}.yaml", server, root))
        url, _ = stack.enter_context(serving("--redis", server.tcp_url, cwd=root))
        asyncio.run(take(url, folder))
    for path in sorted(folder.glob("*.png")):
        size = path.stat().st_size
        print(f"{size:7,} {path}")
        assert size <= LARGEST, f"{path} is too large"


def prepare(root: Path) -> None:
    """Copy the examples, make some of their records bad, and have them run slowly."""
    for name in ("orders", "flights"):
        shutil.copytree(ROOT / "examples" / name, root / "examples" / name)
    shutil.copytree(ROOT / "pipelines", root / "pipelines")
    (root / "pyproject.toml").touch()
    orders = root / "examples/orders/data/orders.jsonl"
    lines = [json.loads(line) for line in orders.read_text().splitlines()]
    for at in range(40, 400, 30):
        lines[at]["customer_id"] = "LONEP "
    for at in (5, 77, 150):
        lines[at]["freight"] = -1
    orders.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    carriers = root / "examples/flights/data/airlines.csv"
    carriers.write_text("".join(line for line in carriers.open() if not line.startswith("HA")))
    slow(root / "pipelines/orders.yaml", "enrich", "15/s")
    with (root / "pipelines/orders.yaml").open("a") as file:
        file.write("telemetry: {journal: 10k}\n")  # so that a record's way is known
    slow(root / "pipelines/flights.yaml", "carrier", "300/s")


def slow(path: Path, stage: str, rate: str) -> None:
    path.write_text(
        re.sub(rf"^  {stage}:.*\n", rf"\g<0>    rate: {rate}\n", path.read_text(), flags=re.MULTILINE)
    )


def past(client: redis.Redis, pipeline: str, stages: list[str], rate: float) -> None:
    """Write a day of history: waiting for one would take a day."""
    now = int(time.time() // 60 * 60)
    done = dict.fromkeys(stages, 0.0)
    for minute in range(DAY):
        fields: dict[str, str] = {}
        wave = 1 + 0.6 * math.sin(minute / 190)
        for at, stage in enumerate(stages):
            share = 1 if at < len(stages) - 3 else (0.5, 0.3, 0.2)[at - len(stages) + 3]
            done[stage] += rate * 60 * wave * share
            behind = (
                max(0, 900 - abs(minute - 1000))
                if at == 2 and minute > 700
                else 3 + 2 * math.sin(minute / 9 + at)
            )
            fields[stage] = f"{int(done[stage])} {int(behind)}"
        client.xadd(f"{{{pipeline}}}:meta:history", fields, id=f"{(now - (DAY - minute) * 60) * 1000}-0")  # type: ignore[arg-type]


@contextmanager
def running(path: Path, server: StreamServer, root: Path) -> Iterator[subprocess.Popen[str]]:
    process = start("run", path, "--redis", server.tcp_url, cwd=root)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


async def take(url: str, folder: Path) -> None:
    async with chromium() as browser:
        await wait_until(lambda: dead(url, "orders") >= LETTERS, 60, "the bad orders are dead letters")
        await wide(browser, url, folder)
        await others(browser, url, folder)


async def wide(browser: Browser, url: str, folder: Path) -> None:
    async with tab(browser, url, size=WIDE) as view:
        await shot(view, folder / "home.png", "", 330, rates=True)
        await shot(view, folder / "pipeline.png", "p/orders", 1045, rates=True)
        await shot(view, folder / "stage.png", "p/orders/stages/enrich", 900, rates=True)
        await shot(view, folder / "workers.png", "p/orders/workers", 620)
        await view.open("p/orders/letters/enrich")
        await view.page.locator("tbody a").first.click()
        await view.page.locator(".all .row").first.wait_for()
        await view.ready()
        await shot(view, folder / "letters.png", None, 800)
        await view.page.locator(".all .row a").first.click()
        await view.ready()
        await view.page.get_by_label("Set field").fill("customer_id")
        await view.page.get_by_label("to", exact=True).fill("LONEP")
        await view.page.locator("pre.diff").wait_for()
        await shot(view, folder / "letter.png", None, 900)
        record = await view.page.locator("dl.facts a").nth(1).get_attribute("href")
        await view.button("Replay all of this cause").click()
        await view.page.get_by_role("button", name=re.compile("Replay: ")).wait_for()
        await shot(view, folder / "replay.png", None, 800)
        await view.page.get_by_role("button", name=re.compile("Replay: ")).click()
        await view.page.locator("dialog .result").wait_for()
        await view.button("Close").click()
        where = (record or "").removeprefix("#/")
        await wait_until(lambda: went_on(url, where), 30, "the record has gone on")
        await shot(view, folder / "record.png", where, 560)
        await shot(view, folder / "audit.png", "p/orders/audit", 300)


async def others(browser: Browser, url: str, folder: Path) -> None:
    async with tab(browser, url, size=WIDE, dark=True) as view:
        await shot(view, folder / "pipeline-dark.png", "p/flights", 950, rates=True)
    async with tab(browser, url, size=PHONE) as view:
        await shot(view, folder / "phone.png", "p/flights", 800, rates=True)
    async with tab(browser, url, size=PHONE, dark=True) as view:
        await view.open("p/orders/letters/validate")
        await view.page.locator(".all .row").first.wait_for()
        await shot(view, folder / "phone-dark.png", None, 800)


def dead(url: str, pipeline: str) -> int:
    """Count the dead letters of a pipeline."""
    with urlopen(f"{url}/api/pipelines", timeout=10) as answer:
        found = json.load(answer)["pipelines"]
    return next((int(one["dead"]) for one in found if one["name"] == pipeline), 0)


def went_on(url: str, where: str) -> bool:
    """Tell whether the stage that failed a record has emitted it; `where` is the record's view."""
    with urlopen(f"{url}/api/pipelines/{where.removeprefix('p/')}", timeout=10) as answer:
        steps = json.load(answer)["steps"]
    return any(one["stage"] == "enrich" and one["outcome"] == "emitted" for one in steps)


async def shot(view: Tab, path: Path, where: str | None, height: int, *, rates: bool = False) -> None:
    """Take a picture; of the view that stands where none is named, of one with `rates` once all is shown."""
    if where is not None:
        await view.open(where)
        if rates:
            shown = expect(view.page.locator("main"))
            await shown.to_contain_text(re.compile(r"[1-9][\d,.]*/s"), timeout=20_000)
            if where.count("/") == 1:  # a whole pipeline
                await shown.to_contain_text(" × ", timeout=20_000)  # why letters are dead
            await shown.not_to_contain_text("No history yet", timeout=20_000)
    width = (view.page.viewport_size or {"width": WIDE[0]})["width"]
    await view.page.set_viewport_size({"width": width, "height": height})
    await view.page.screenshot(path=path, animations="disabled")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
