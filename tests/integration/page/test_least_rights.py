"""The page with no more rights on the server than `rsq-pipe acl` gives to who looks after a pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rsq_pipe.ops.acl import users
from rsq_pipe.page.openapi import READ
from tests.integration.ops.shop import Shop
from tests.support.served_page import ServedPage, served
from tests.support.server import StreamServer


@pytest.fixture
async def guarded(own_server: StreamServer, own_shop: Shop) -> AsyncIterator[tuple[Shop, ServedPage]]:
    runs, operates = users(own_shop.graph)
    for user in (runs, operates):
        await own_shop.redis(*user.setuser.replace(">PASSWORD", ">pw").split())
    own_shop.url = f"redis://{runs.name}:pw@127.0.0.1:{own_server.port}"
    async with served(f"redis://{operates.name}:pw@127.0.0.1:{own_server.port}") as page:
        yield own_shop, page


async def test_whoever_looks_after_a_pipeline_may_do_all_of_it(guarded: tuple[Shop, ServedPage]) -> None:
    shop, page = guarded
    shop.records(range(3))
    await shop.run()
    letter = (await shop.letters())[0]
    stage = f"/pipelines/{shop.pipeline}/stages/price"

    done = await page.post(f"{stage}/letters/replay", ids=[letter.id], confirm=1)
    purged = await page.post(f"{stage}/letters/purge", where="n == 1", confirm=1)
    held = [await page.post(f"{stage}/{action}") for action in ("pause", "resume")]
    last = (await shop.letters())[0]
    places = {"pipeline": shop.pipeline, "stage": "price", "letter": last.id, "record": last.rid}
    for path in READ:
        if not path.endswith("/events"):
            await page.get(path.format(**places, job=done.json["job"]["id"]))

    assert [one.status for one in (done, purged, *held)] == [200] * 4
    history = await page.get(f"/pipelines/{shop.pipeline}/history")
    assert "price" in history["stages"]  # the run had the right to keep it


async def test_a_pipeline_of_others_is_listed_with_why_no_more_is_said(
    guarded: tuple[Shop, ServedPage], own_server: StreamServer
) -> None:
    shop, page = guarded
    other = Shop(shop.root.parent / "other", "others", own_server.url)
    await other.add_letters([1])
    await shop.add_letters([1])

    listed = {one["name"]: one for one in (await page.get("/pipelines"))["pipelines"]}
    found = await page.ask("GET", "/api/pipelines/others")
    await other.close()

    assert listed[shop.pipeline]["fault"] == ""
    assert (listed["others"]["state"], bool(listed["others"]["fault"])) == ("unknown", True)
    assert (found.status, "permissions" in found.json["error"]["message"]) == (502, True)
