"""Connections that ask for nothing do not stand in the way of those that do."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from tests.integration.ops.shop import Shop
from tests.integration.page.test_events import told
from tests.support.served_page import ServedPage, served
from tests.support.server import StreamServer
from tests.support.signals import wait_until

HALF = b"GET /api/session HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsq_pipe.page.serving.SILENT", 0.2)


@pytest.mark.parametrize(
    "said", [b"", HALF, HALF + b"\r\n" + HALF], ids=["nothing", "half", "one and a half"]
)
async def test_a_connection_without_a_whole_request_is_closed(page: ServedPage, said: bytes) -> None:
    port = int(page.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)

    answered = await asyncio.wait_for(reader.read(), 4)  # until its end: what idles else is closed after 5 s

    writer.close()
    assert answered.count(b"HTTP/1.1 200") == said.count(b"\r\n\r\n")


async def test_who_listens_is_left_alone(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    async with page.http.get(f"{page.url}/api/pipelines/{shop.pipeline}/events") as found:
        events = told(found)
        assert [(await anext(events))[0] for _ in range(3)] == ["status"] * 3


async def test_a_body_that_drips_is_answered_and_its_connection_closed(
    shop: Shop, page: ServedPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsq_pipe.page.guard.BODY_SECONDS", 0.5)
    await shop.add_letters([1])
    csrf = (await page.get("/session"))["csrf"]
    port = int(page.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /api/pipelines/{shop.pipeline}/stages/price/pause HTTP/1.1\r\nHost: localhost\r\n"
        f"X-CSRF-Token: {csrf}\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000\r\n\r\n".encode()
    )

    async def drip() -> None:
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    dripping = asyncio.ensure_future(drip())
    async with asyncio.timeout(4):
        answered = await reader.readuntil(b"did not come within 0.5 s")
        dripping.cancel()
        with suppress(ConnectionResetError):  # where a byte came after the end
            await reader.read()  # until its end
    writer.close()

    assert answered.startswith(b"HTTP/1.1 408 ")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="other systems give up later")
async def test_a_browser_that_takes_nothing_any_more_makes_room_for_another(
    server: StreamServer, monkeypatch: pytest.MonkeyPatch, shop: Shop
) -> None:
    monkeypatch.setattr("rsq_pipe.page.serving.LOST", 0.5)
    monkeypatch.setattr("rsq_pipe.page.feeds.PERIOD", 0.0)
    await shop.add_letters([1])
    async with served(server.url) as page:
        with socket.socket() as lost:
            lost.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lost.connect(("127.0.0.1", int(page.url.rpartition(":")[2])))
            lost.sendall(
                f"GET /api/pipelines/{shop.pipeline}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            await wait_until(lambda: page.site.feeds.listeners == 1, what="it listens")

            await wait_until(lambda: page.site.feeds.listeners == 0, what="it is given up")
