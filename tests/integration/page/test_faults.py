"""What is answered where something is wrong that the asker cannot mend."""

from __future__ import annotations

import time

import pytest
from click.testing import CliRunner

from rsq_pipe.cli.serve import command
from rsq_pipe.extras import install
from rsq_pipe.ops.status import PipelineStatus
from rsq_pipe.page import shapes
from tests.integration.ops.shop import Shop
from tests.integration.page.test_events import told
from tests.support.served_page import ServedPage, served
from tests.support.server import StreamServer
from tests.support.signals import wait_until


async def test_while_the_server_is_away_that_is_said_and_then_it_goes_on(
    own_server: StreamServer, name: str, own_shop: Shop
) -> None:
    await own_shop.add_letters([1])
    async with served(own_server.url) as page:
        own = f"/api/pipelines/{name}"
        async with page.http.get(f"{page.url}{own}/events") as found:
            events = told(found)
            assert (await anext(events))[0] == "status"
            own_server.kill()
            while (event := await anext(events))[0] != "fault":
                pass
            assert event[1]["error"]["message"]
            answer = await page.ask("GET", own)
            assert (answer.status, bool(answer.json["error"]["message"])) == (503, True)
            own_server.start()
            while (event := await anext(events))[0] != "status":
                pass

        async def back() -> bool:
            return (await page.ask("GET", own)).status == 200

        await wait_until(back, what="it answers again")


async def test_a_fault_of_ours_is_told_as_all_errors_are(
    shop: Shop, page: ServedPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.add_letters([1])

    def broken(_: PipelineStatus) -> str:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(shapes, "state", broken)
    found = await page.ask("GET", f"/api/pipelines/{shop.pipeline}")

    assert (found.status, found.json["error"]["message"]) == (500, "a fault in rsq-pipe")
    assert "no such thing" not in found.text
    assert found.headers["x-content-type-options"] == "nosniff"


def test_without_the_extra_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsq_pipe.cli.serve.find_spec", lambda _: None)
    done = CliRunner().invoke(command, ["--redis", "redis://127.0.0.1:1"])

    assert done.exit_code == 2
    assert install("page") in done.output


async def test_dead_letters_are_purged_on_a_server_that_is_full(
    own_server: StreamServer, name: str, own_shop: Shop
) -> None:
    await own_shop.add_letters(range(5))
    await own_shop.redis("CONFIG", "SET", "maxmemory", 1)
    async with served(own_server.url) as page:
        found = await page.get(f"/pipelines/{name}")
        done = await page.post(f"/pipelines/{name}/stages/price/letters/purge", all=True, confirm=5)
    await own_shop.redis("CONFIG", "SET", "maxmemory", 0)
    left = await own_shop.letters()

    assert (found["full"], done.status, done.json["count"], left) == (True, 200, 5, [])


async def test_pipelines_are_looked_for_once_a_second_at_most(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    await page.get("/pipelines")
    before, began = await _scans(shop), time.monotonic()

    for _ in range(20):
        await page.get("/pipelines")

    assert await _scans(shop) - before <= 2 + (time.monotonic() - began)


async def _scans(shop: Shop) -> int:
    stats = (await shop.redis("INFO", "commandstats")).decode()
    line = next((one for one in stats.splitlines() if one.startswith("cmdstat_scan:")), "calls=0,")
    return int(line.partition("calls=")[2].partition(",")[0])
