"""A pipeline told as it goes on: one look a second, however many listen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from rsq_pipe.page.feeds import MOST
from tests.integration.ops.shop import Shop
from tests.support.served_page import ServedPage, served
from tests.support.server import StreamServer
from tests.support.signals import BUSY, wait_until


async def told(found: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """Read events."""
    name = ""
    async for line in found.content:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            yield name, json.loads(text.removeprefix("data: "))


async def test_a_pipeline_is_told_every_second(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    seen = []

    headers = {"Last-Event-ID": "41"}
    async with page.http.get(f"{page.url}/api/pipelines/{shop.pipeline}/events", headers=headers) as found:
        assert found.headers["content-type"].startswith("text/event-stream")
        async for name, value in told(found):
            seen.append((name, value["stages"]["price"]["dead"], value["at"]))
            if len(seen) == 1:
                await shop.add_letters([2])
            if len(seen) == 3:
                break

    assert [name for name, _, _ in seen] == ["status"] * 3
    assert (seen[0][1], seen[-1][1]) == (1, 2)
    assert seen[0][2] < seen[1][2] < seen[2][2]


async def test_many_listeners_make_one_look_a_second_and_their_end_ends_it(
    shop: Shop, page: ServedPage
) -> None:
    await shop.add_letters([1])
    url = f"{page.url}/api/pipelines/{shop.pipeline}/events"
    # The one connection that `http` keeps at most to a host would do: these do not end.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        streams = [await http.get(url) for _ in range(20)]
        for found in streams:
            await anext(told(found))
        assert (page.site.feeds.listeners, page.site.feeds.readers) == (20, 1)
        for found in streams:
            found.close()

    await wait_until(lambda: page.site.feeds.readers == 0, what="nobody is told any more")
    assert page.site.feeds.listeners == 0


async def test_the_number_of_listeners_is_bounded(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    url = f"{page.url}/api/pipelines/{shop.pipeline}/events"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        streams = [await http.get(url) for _ in range(MOST + 1)]
        codes = [found.status for found in streams]
        for found in streams:
            found.close()

    assert (codes[:MOST], codes[MOST]) == ([200] * MOST, 503)


async def test_of_many_that_begin_to_listen_at_once_no_more_get_a_place(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    url = f"{page.url}/api/pipelines/{shop.pipeline}/events"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        streams = await asyncio.gather(*(http.get(url) for _ in range(MOST + 20)))
        codes = sorted(found.status for found in streams)
        for found in streams:
            found.close()
        await wait_until(lambda: page.site.feeds.listeners == 0, what="all are gone")
        again = await http.get(url)
        again.close()

    assert (codes, again.status) == ([200] * MOST + [503] * 20, 200)


async def test_who_asks_for_the_headers_alone_does_not_listen(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])

    found = await page.ask("HEAD", f"/api/pipelines/{shop.pipeline}/events")

    assert (found.status, found.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert page.site.feeds.listeners == 0


async def test_listeners_end_with_the_page_at_once(
    shop: Shop, server: StreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsq_pipe.page.serving.LINGER", 60)
    await shop.add_letters([1])
    async with served(server.url) as page:
        found = await page.http.get(f"{page.url}/api/pipelines/{shop.pipeline}/events")
        events = told(found)
        await anext(events)
        began = asyncio.get_running_loop().time()
        page.stop()
        async for _ in events:
            pass
        assert asyncio.get_running_loop().time() - began < BUSY
