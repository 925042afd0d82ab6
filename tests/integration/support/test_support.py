"""The test servers and the proxy do what tests rely on them for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from rsq_pipe.server.process import ping
from tests.support.proxy import Proxy
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually, wait_until

Dial = Callable[[int], Awaitable["Line"]]


@pytest.fixture
async def proxy(server: StreamServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.url) as running:
        yield running


class Line:
    """One raw connection that speaks inline commands."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, command: str) -> bytes:
        self._writer.write(command.encode() + b"\r\n")
        return await asyncio.wait_for(self._reader.readline(), PATIENCE)

    async def ended(self) -> bool:
        return await asyncio.wait_for(self._reader.read(), PATIENCE) == b""

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    lines = []

    async def open_line(port: int) -> Line:
        lines.append(Line(*await asyncio.open_connection("127.0.0.1", port)))
        return lines[-1]

    yield open_line
    for line in lines:
        line.close()


async def test_a_dropped_reply_was_executed(
    proxy: Proxy, server: StreamServer, name: str, dial: Dial
) -> None:
    line, direct = await dial(proxy.port), await dial(server.port)
    happened = proxy.drop_reply_to(b"INCR")

    assert await line.ask("PING") == b"+PONG\r\n"
    assert await line.ask(f"INCR {name}") == b""

    assert happened.is_set()
    assert await direct.ask(f"GET {name}") == b"$1\r\n"


async def test_a_reply_can_be_dropped_by_what_it_says(proxy: Proxy, dial: Dial) -> None:
    line = await dial(proxy.port)
    happened = proxy.drop_next_reply_containing(b"secret")

    assert await line.ask("PING") == b"+PONG\r\n"
    assert await line.ask("ECHO secret") == b""
    assert happened.is_set()


async def test_a_reply_can_be_cut_in_the_middle(proxy: Proxy, dial: Dial) -> None:
    line = await dial(proxy.port)
    happened = proxy.drop_after(3)

    assert await line.ask("PING") == b"+PO"
    assert happened.is_set()


async def test_a_cut_proxy_takes_new_connections(proxy: Proxy, dial: Dial) -> None:
    line = await dial(proxy.port)
    assert await line.ask("PING") == b"+PONG\r\n"

    proxy.cut()

    assert await line.ended()
    again = await dial(proxy.port)
    assert await again.ask("PING") == b"+PONG\r\n"


async def test_a_refusing_proxy_refuses_until_it_forwards(proxy: Proxy, dial: Dial) -> None:
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await dial(proxy.port)

    await proxy.forward()
    line = await dial(proxy.port)
    assert await line.ask("PING") == b"+PONG\r\n"


async def test_a_hanging_proxy_answers_when_it_forwards(proxy: Proxy, dial: Dial) -> None:
    proxy.hang()
    line = await dial(proxy.port)
    answer = asyncio.ensure_future(line.ask("PING"))
    await wait_until(lambda: proxy.accepted == 1, what="the proxy took the connection")
    assert not answer.done()

    await proxy.forward()

    assert await answer == b"+PONG\r\n"


async def test_a_killed_server_comes_back_with_its_data(
    own_server: StreamServer, name: str, dial: Dial
) -> None:
    line = await dial(own_server.port)
    assert await line.ask(f"SET {name} kept") == b"+OK\r\n"

    own_server.kill()
    assert ping(own_server.socket) == b""
    own_server.start()

    line = await dial(own_server.port)
    assert await line.ask(f"GET {name}") == b"$4\r\n"


def test_a_paused_server_answers_after_resume(own_server: StreamServer) -> None:
    own_server.pause()
    assert ping(own_server.socket, timeout=0.1) == b""
    own_server.resume()
    assert ping(own_server.socket) == b"+PONG"


def test_waiting_for_what_never_happens_names_it() -> None:
    with pytest.raises(AssertionError, match=r"after 0\.01 s, still not: the moon falls"):
        eventually(lambda: False, timeout=0.01, what="the moon falls")
