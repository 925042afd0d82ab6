"""Connections are shared by what is the same in everything that matters, and by nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct

import pytest

from rsq_pipe.errors import SettleError
from rsq_pipe.streams.channel import LinkPool
from rsq_pipe.streams.client import StreamClient
from tests.support.server import StreamServer
from tests.support.signals import wait_until


async def who(client: StreamClient) -> str:
    reply = await client.channel.execute("ACL", "WHOAMI", key="")
    return str(reply.decode())


async def test_two_users_of_one_server_do_not_share_connections(
    server: StreamServer, client: StreamClient, name: str
) -> None:
    for user in ("a", "b"):
        await client.channel.execute(
            "ACL", "SETUSER", f"{user}-{name}", "on", f">{user}", "~*", "+@all", key=""
        )
    url = f"redis://{{0}}-{name}:{{0}}@127.0.0.1:{server.port}"

    async with StreamClient.from_url(url.format("a")) as a, StreamClient.from_url(url.format("b")) as b:
        assert [await who(a), await who(b), await who(a)] == [f"a-{name}", f"b-{name}", f"a-{name}"]

    async with StreamClient("127.0.0.1", server.port, username=f"a-{name}", password="wrong") as c:
        with pytest.raises(SettleError, match="check user and password"):
            await who(c)


async def test_two_databases_of_one_server_do_not_share_connections(server: StreamServer, name: str) -> None:
    async with (
        StreamClient("127.0.0.1", server.port, db=0) as zero,
        StreamClient("127.0.0.1", server.port, db=1) as one,
    ):
        await zero.push(name, "{}")

        assert (await zero.stream_len(name), await one.stream_len(name)) == (1, 0)


async def test_closing_one_client_leaves_anothers_connections(server: StreamServer, name: str) -> None:
    first, second = StreamClient.from_url(server.url), StreamClient.from_url(server.url)
    await asyncio.gather(first.stream_len(name), second.stream_len(name))
    assert first.channel._pool() is second.channel._pool()
    idle = [link for links in second.channel._pool()._idle.values() for link in links]

    await first.close()
    await first.close()

    assert idle
    assert all(link.is_open for link in idle)
    assert await second.stream_len(name) == 0
    assert await first.stream_len(name) == 0
    await first.close()
    await second.close()
    assert not any(link.is_open for link in idle)


async def test_close_all_closes_and_a_client_used_again_opens_anew(server: StreamServer, name: str) -> None:
    client = StreamClient.from_url(server.url)
    await client.stream_len(name)

    await StreamClient.close_all()

    assert await client.stream_len(name) == 0
    assert not client.channel._pool().is_closed
    await client.close()


def test_one_client_serves_two_event_loops(server: StreamServer, name: str) -> None:
    client = StreamClient.from_url(server.url)

    async def push() -> int:
        await client.push(name, "{}")
        length = await client.stream_len(name)
        await client.close()
        return length

    assert [asyncio.run(push()), asyncio.run(push())] == [1, 2]


def test_event_loops_that_ended_are_forgotten(server: StreamServer, name: str) -> None:
    async def use(client: StreamClient) -> None:
        await client.stream_len(name)
        await client.close()

    client = StreamClient.from_url(server.url)
    for _ in range(5):
        asyncio.run(use(client))
    gc.collect()

    async def known() -> tuple[int, int]:
        await client.stream_len(name)
        known = len(client.channel._pools), sum(1 for loop in LinkPool._pools if loop.is_closed())
        await client.close()
        return known

    assert asyncio.run(known()) == (1, 0)


async def test_a_prefix_stands_before_every_key(
    server: StreamServer, client: StreamClient, name: str
) -> None:
    async with StreamClient.from_url(server.url, prefix=name) as prefixed:
        await prefixed.push("orders", "{}")

    assert await client.stream_len(f"{name}_orders") == 1


async def test_an_unread_connection_is_not_lent_again(server: StreamServer, name: str) -> None:
    async with StreamClient.from_url(server.url, client_name=name) as client:
        await client.stream_len(name)
        (place,) = client.channel._pool()._idle
        link = client.channel._pool()._idle[place][0]
        used = link._connection._writer
        await link._connection.send_packed_command([b"PING\r\n"])
        await wait_until(link._connection.can_read)

        assert await client.stream_len(name) == 0
        assert link._connection._writer is not used


async def test_a_connection_that_was_reset_while_idle_is_not_lent_again(
    server: StreamServer, name: str
) -> None:
    accepted: list[asyncio.StreamWriter] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        replies, requests = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(OSError):
            while asked := await reader.read(65_536):
                requests.write(asked)
                writer.write(await replies.read(65_536))
        requests.close()

    front = await asyncio.start_server(forward, "127.0.0.1", 0)
    port = front.sockets[0].getsockname()[1]
    async with StreamClient("127.0.0.1", port) as client:
        await client.stream_len(name)
        ((link,),) = client.channel._pool()._idle.values()

        async def is_reset() -> bool:
            reader = link._connection._reader
            return reader is not None and reader.exception() is not None

        accepted[0].get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        accepted[0].transport.abort()
        await wait_until(is_reset)

        assert await client.stream_len(name) == 0
    front.close()
