"""The list of who did what: honest where something came in between."""

from __future__ import annotations

import json
from typing import Any

from rsq_pipe.engine.keyspace import Keyspace
from tests.integration.ops.shop import Shop
from tests.support.served_page import ServedPage, served
from tests.support.server import StreamServer
from tests.support.signals import wait_until


def at(shop: Shop, rest: str) -> str:
    return f"/pipelines/{shop.pipeline}{rest}"


async def audit(page: ServedPage, shop: Shop) -> list[Any]:
    found: list[Any] = (await page.get(at(shop, "/audit")))["audit"]
    return found


async def test_a_payload_that_was_written_anew_is_noted(shop: Shop, page: ServedPage) -> None:
    (one,) = await shop.add_letters([1])

    done = await page.post(
        at(shop, "/stages/price/letters/replay"), ids=[one], payload={"n": 1, "price": 2}, confirm=1
    )

    assert done.status == 200
    assert (await audit(page, shop))[0]["payload"] is True


async def test_how_a_job_ended_is_noted_once_the_server_is_back(
    own_server: StreamServer, name: str, own_shop: Shop
) -> None:
    await own_shop.add_letters(range(200))
    async with served(own_server.url) as page:
        begun = await page.post(
            at(own_shop, "/stages/price/letters/replay"), all=True, rate="20/s", confirm=200
        )
        job = page.site.jobs.find(name, begun.json["job"]["id"])
        own_server.kill()
        await wait_until(lambda: job.state != "running", what="the job fails")
        own_server.start()

        async def noted() -> Any:
            found = await page.ask("GET", f"/api{at(own_shop, '/audit')}")
            return (
                found.status == 200 and found.json["audit"][0]["state"] != "running" and found.json["audit"]
            )

        (entry,) = await wait_until(noted, what="it is noted")

    assert (job.state, entry["state"], entry["done"]) == ("failed", "failed", job.document()["done"])
    assert entry["error"]


async def test_what_stands_in_the_list_and_is_no_note_is_told_as_such(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    key = Keyspace(shop.pipeline).audit
    note = {"who": "ops", "action": "purge", "stage": "price", "state": "running"}
    first = (await shop.redis("XADD", key, "*", "note", json.dumps(note | {"at": "x", "id": 1}))).decode()
    ends = {"ends": first, "state": "done", "who": "somebody else", "action": "replay", "at": "y"}
    await shop.redis("XADD", key, "*", "note", json.dumps(ends))
    await shop.redis("XADD", key, "*", "note", "[" * 100_000)
    await shop.redis("XADD", key, "*", "other", "x")

    *garbage, one = await audit(page, shop)

    assert (one["who"], one["action"], one["state"], one["id"]) == ("ops", "purge", "done", first)
    assert [(entry["who"], entry["action"]) for entry in garbage] == [("unknown", "unreadable")] * 2
