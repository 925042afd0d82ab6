"""What the API tells of pipelines, without their files."""

from __future__ import annotations

import asyncio
from typing import Any

from rsq_pipe.engine.failures.last_failure import LastFailure
from rsq_pipe.errors import SinkError
from rsq_pipe.ops.status import read_status
from tests.integration.ops.shop import Shop
from tests.support.served_page import ServedPage
from tests.support.signals import wait_until


async def test_a_pipeline_is_listed_by_what_the_server_holds_of_it(shop: Shop, page: ServedPage) -> None:
    shop.records(range(3), price=1)
    await shop.run()

    found = {one["name"]: one for one in (await page.get("/pipelines"))["pipelines"]}[shop.pipeline]

    names = ("state", "backlog", "dead", "stages", "running_processes", "failed", "fault")
    told = {name: found[name] for name in names}
    assert told == {
        "state": "resting",
        "backlog": 0,
        "dead": 0,
        "stages": 3,
        "running_processes": 0,
        "failed": None,
        "fault": "",
    }
    assert found["last_record_at"].endswith("Z")


async def test_a_pipeline_is_told_as_it_was_last_run_though_its_file_is_gone(
    shop: Shop, page: ServedPage
) -> None:
    shop.records(range(3), price=1)
    shop.records([7], "more.jsonl")
    await shop.run()
    graph = shop.graph
    shop.path.unlink()

    found = await page.get(f"/pipelines/{shop.pipeline}")

    assert [one["name"] for one in found["graph"]["stages"]] == ["read", "price", "out"]
    assert [(one["from"], one["port"], one["to"]) for one in found["graph"]["edges"]] == [
        ("read", "", "price"),
        ("price", "", "out"),
    ]
    price = found["stages"]["price"]
    assert [price[name] for name in ("read", "emitted", "dead", "backlog")] == [4, 3, 1, 0]
    status = await read_status(shop.client, graph)
    assert {one.name: (one.backlog, one.dead, one.counters["in"]) for one in status.stages} == {
        name: (one["backlog"], one["dead"], one["read"]) for name, one in found["stages"].items()
    }


async def test_the_error_that_ended_the_last_run_is_told(shop: Shop, page: ServedPage) -> None:
    shop.records(range(3), price=1)
    await shop.run()

    async def failed() -> dict[str, Any] | None:
        found: dict[str, Any] | None = (await page.get(f"/pipelines/{shop.pipeline}"))["failed"]
        return found

    assert await failed() is None

    await LastFailure(shop.client, shop.graph).ends(SinkError("the disk is full"), finished=False)

    await wait_until(failed, what="the page has looked again")
    told = await failed()
    assert told is not None
    assert told["why"] == "the disk is full"
    assert told["at"].endswith("Z")
    assert 0 <= told["seconds"] < 60
    listed = {one["name"]: one for one in (await page.get("/pipelines"))["pipelines"]}[shop.pipeline]
    assert listed["failed"]["why"] == "the disk is full"


async def test_what_a_stage_has_before_it_is_told(shop: Shop, page: ServedPage) -> None:
    shop.records(range(5), price=1)
    run = await shop.up(stages=["read"])
    await wait_until(lambda: _has(shop, 5), what="all is read")
    await run.stop()

    found = await page.get(f"/pipelines/{shop.pipeline}")

    assert found["stages"]["price"]["backlog"] == 5
    assert found["stages"]["price"]["oldest_age_s"] >= 0
    assert found["stages"]["out"]["backlog"] == 0


async def _has(shop: Shop, count: int) -> bool:
    return await shop.records_in("read") == count


async def test_all_answers_are_at_v1_as_well(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])

    newest = await page.get(f"/pipelines/{shop.pipeline}")
    first = await page.get(f"/v1/pipelines/{shop.pipeline}")

    assert newest["graph"] == first["graph"]


async def test_a_pipeline_that_never_ran_is_not_found(page: ServedPage, name: str) -> None:
    found = await page.ask("GET", f"/api/pipelines/{name}")

    assert found.status == 404
    assert f"{name}: never ran on" in found.json["error"]["message"]


async def test_what_is_not_there_is_told_as_all_errors_are(page: ServedPage) -> None:
    found = await page.ask("GET", "/api/nothing")

    assert (found.status, found.json["error"]["fix"]) == (404, "see /api/openapi.json")
    assert (await page.ask("PUT", "/api/pipelines")).status in {403, 405}


async def test_however_many_ask_at_once_one_look_is_taken(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])

    found = await asyncio.gather(*(page.get(f"/pipelines/{shop.pipeline}") for _ in range(20)))

    assert len({one["at"] for one in found}) == 1


async def test_a_pipeline_that_nobody_can_be_is_not_asked_for(page: ServedPage) -> None:
    for name in ("A", "a b", "x" * 500, "%7Bx%7D", "..", "*"):
        assert (await page.ask("GET", f"/api/pipelines/{name}")).status == 404, name


async def test_rates_are_told_once_there_is_something_to_compare(shop: Shop, page: ServedPage) -> None:
    shop.records(range(50), price=1)
    await shop.add_letters([])
    first = (await page.get(f"/pipelines/{shop.pipeline}"))["stages"]["price"]
    await shop.run()

    async def rated() -> float:
        found = (await page.get(f"/pipelines/{shop.pipeline}"))["stages"]["price"]
        return float(found["rate_per_s"] or 0)

    assert first["rate_per_s"] is None
    assert await wait_until(rated, what="a rate") > 0
