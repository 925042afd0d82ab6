"""Acting over the API: replay, purge, pause; counted, confirmed, noted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.ops.shop import Shop
from tests.support.served_page import Answer, ServedPage
from tests.support.server import StreamServer
from tests.support.signals import wait_until


def at(shop: Shop, rest: str = "") -> str:
    return f"/pipelines/{shop.pipeline}{rest}"


def letters(shop: Shop, rest: str) -> str:
    return at(shop, f"/stages/price/letters{rest}")


async def act(page: ServedPage, path: str, **said: Any) -> Answer:
    """Do what a dry run tells of."""
    plan = (await page.post(path, **said, dry_run=True)).json
    return await page.post(path, **said, confirm=plan["count"], until=plan["until"])


async def test_letters_are_mended_replayed_and_become_outputs(shop: Shop, page: ServedPage) -> None:
    shop.records(range(12))
    shop.records(range(12, 20), price=1)
    await shop.run()
    group = (await page.get(letters(shop, "/groups")))["groups"][0]["group"]

    done = await act(page, letters(shop, "/replay"), group=group, set={"price": "= n + 1"})
    await shop.run()

    assert (done.status, done.json["count"], done.json["job"]["state"]) == (200, 12, "done")
    totals = {one["n"]: one["total"] for one in shop.lines("out/all.jsonl")}
    assert totals == {n: 2 * (n + 1) if n < 12 else 2 for n in range(20)}


async def test_a_dry_run_touches_nothing(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters(range(5))

    for action in ("replay", "purge"):
        told = await page.post(letters(shop, f"/{action}"), all=True, dry_run=True)
        assert (told.status, told.json["count"], told.json["groups"][0]["count"]) == (200, 5, 5)

    assert len(await shop.letters()) == 5
    assert (await page.get(at(shop, "/audit")))["audit"] == []


async def test_what_is_not_confirmed_is_not_done(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])

    for confirm in (None, 0, 2, "1", True, 1.0):
        done = await page.post(letters(shop, "/purge"), all=True, confirm=confirm)
        assert (done.status, done.json["count"]) == (409, 1), confirm

    assert len(await shop.letters()) == 1


async def test_letters_that_come_after_the_dry_run_are_left(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters(range(5))
    plan = (await page.post(letters(shop, "/purge"), all=True, dry_run=True)).json
    later = await shop.add_letters([9])

    bare = await page.post(letters(shop, "/purge"), all=True, confirm=5)
    done = await page.post(letters(shop, "/purge"), all=True, confirm=5, until=plan["until"])

    assert (bare.status, done.status, done.json["count"]) == (409, 200, 5)
    assert [letter.id for letter in await shop.letters()] == later


async def test_only_what_is_named_goes(shop: Shop, page: ServedPage) -> None:
    ids = await shop.add_letters(range(6))

    nothing = await page.post(letters(shop, "/purge"), dry_run=True)
    some = await act(page, letters(shop, "/purge"), ids=ids[:2])
    more = await act(page, letters(shop, "/purge"), where="n >= 4")
    gone = await page.post(letters(shop, "/purge"), ids=ids[:3], dry_run=True)

    assert nothing.status == 400
    assert (some.json["count"], more.json["count"]) == (2, 2)
    assert (gone.json["count"], gone.json["missing"]) == (1, 2)
    assert [letter.id for letter in await shop.letters()] == ids[2:4]


async def test_an_expression_of_blanks_means_no_letter(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters(range(3))

    for action in ("replay", "purge"):
        told = await page.post(letters(shop, f"/{action}"), where=" \n", confirm=3)
        assert (told.status, "is not said" in told.json["error"]["message"]) == (400, True), told

    assert len(await shop.letters()) == 3


async def test_an_unknown_key_is_refused_with_those_that_are_known(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters(range(3))
    stage = f"/pipelines/{shop.pipeline}/stages/price"

    purge = await page.post(letters(shop, "/purge"), all=True, confirm=3, dryrun=True)
    pause = await page.post(f"{stage}/pause", reason="broken")
    resume = await page.post(f"{stage}/resume", why="mended")

    assert [told.status for told in (purge, pause, resume)] == [400] * 3
    assert purge.json["error"] == {
        "message": "unknown key 'dryrun'",
        "fix": "did you mean 'dry_run'? the keys are all, confirm, dry_run, group, ids, until, where",
    }
    assert pause.json["error"] == {"message": "unknown key 'reason'", "fix": "the keys are why"}
    assert resume.json["error"] == {"message": "unknown key 'why'", "fix": "send {}: it has no keys"}
    assert len(await shop.letters()) == 3


@pytest.mark.parametrize("rate", [[], {}, True, 10**400, -1, 0, "0/s", "fast"])
async def test_a_rate_that_is_none_is_refused(shop: Shop, page: ServedPage, rate: object) -> None:
    await shop.add_letters([1])

    told = await page.post(letters(shop, "/replay"), all=True, rate=rate, confirm=1)

    assert (told.status, "rate" in told.json["error"]["message"]) == (400, True), told
    assert len(await shop.letters()) == 1


async def test_a_long_replay_goes_on_beside_and_can_be_stopped(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters(range(200))

    begun = await act(page, letters(shop, "/replay"), all=True, rate="20/s")
    where = at(shop, f"/jobs/{begun.json['job']['id']}")
    assert (begun.status, begun.json["job"]["state"]) == (202, "running")
    await wait_until(lambda: _done(page, where), what="some have gone")
    await page.post(f"{where}/stop")
    ended = await wait_until(lambda: _ended(page, where), what="it ends")

    assert ended["state"] == "stopped"
    assert 0 < ended["done"] < 200
    assert len(await shop.letters()) == 200 - ended["done"]
    stop, replay = (await page.get(at(shop, "/audit")))["audit"]
    assert (stop["action"], replay["action"], replay["state"]) == ("stop", "replay", "stopped")
    assert (replay["count"], replay["done"], replay["rate"]) == (200, ended["done"], "20/s")
    assert [one["id"] for one in (await page.get(at(shop, "/jobs")))["jobs"]] == [ended["id"]]


async def _done(page: ServedPage, where: str) -> bool:
    return bool((await page.get(where))["done"])


async def _ended(page: ServedPage, where: str) -> Any:
    found = await page.get(where)
    return found if found["state"] != "running" else None


async def test_a_job_ends_with_the_page(shop: Shop, server: StreamServer) -> None:
    from tests.support.served_page import served

    await shop.add_letters(range(100))
    async with served(server.url) as page:
        begun = await act(page, letters(shop, "/replay"), all=True, rate=10)
        job = page.site.jobs.find(shop.pipeline, begun.json["job"]["id"])

    assert job.state == "stopped"
    assert len(await shop.letters()) == 100 - job.document()["done"]


async def test_who_did_what_is_noted(shop: Shop, page: ServedPage) -> None:
    ids = await shop.add_letters(range(3))

    await act(page, letters(shop, "/purge"), ids=ids)
    await page.post(at(shop, "/stages/price/pause"), why="the price list is wrong")
    await page.post(at(shop, "/stages/price/pause"), why="again")
    await page.post(at(shop, "/stages/price/resume"))
    found = (await page.get(at(shop, "/audit")))["audit"]

    assert [one["action"] for one in found] == ["resume", "pause", "purge"]
    purge = found[2]
    assert (purge["who"], purge["stage"], purge["count"], purge["done"]) == ("this machine", "price", 3, 3)
    assert (purge["chosen"], purge["state"]) == ({"ids": 3}, "done")
    assert purge["at"] <= found[0]["at"]


async def test_the_list_of_actions_outlives_a_fresh_start(shop: Shop, page: ServedPage) -> None:
    await act(page, letters(shop, "/purge"), ids=await shop.add_letters([1]))
    shop.records([2], price=1)
    await shop.run(fresh=True)

    assert [one["action"] for one in (await page.get(at(shop, "/audit")))["audit"]] == ["purge"]


async def test_a_stage_is_paused_and_goes_on(shop: Shop, page: ServedPage) -> None:
    shop.records(range(3), price=1)
    await shop.add_letters([])
    await page.post(at(shop, "/stages/price/pause"), why="look first")
    run = await shop.up()

    told = await page.get(at(shop))
    assert (told["state"], told["stages"]["price"]["paused"]["why"]) == ("paused", "look first")
    assert told["stages"]["price"]["paused"]["held"] is True
    await page.post(at(shop, "/stages/price/resume"))
    summary = await run.ended()

    assert summary.finished
    assert shop.numbers("out/all.jsonl") == [0, 1, 2]
    unknown = await page.post(at(shop, "/stages/prize/pause"))
    assert unknown.status == 404
