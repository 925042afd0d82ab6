"""redis+sentinel:// finds the primary, logs in to both, and speaks to no replica."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsq_pipe.errors import LoginError, ServerUnavailableError, SettleError
from rsq_pipe.ops.acl import users
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.producer import StreamProducer
from tests.support.ports import free_port
from tests.support.project import Project
from tests.support.sentinels import SERVICE, Sentinel
from tests.support.server import StreamServer
from tests.support.signals import eventually, wait_until
from tests.support.tls import AUTHORITY, tls_front

PASSWORD = "of-sentinels"


@pytest.fixture
def sentinel(own_server: StreamServer, tmp_path: Path) -> Iterator[Sentinel]:
    """A sentinel that watches `own_server`."""
    with Sentinel(own_server.binary, tmp_path, own_server.port, own_password=PASSWORD) as running:
        eventually(running.answers, what="the sentinel answers")
        yield running


def url(sentinel: Sentinel, *, service: str = SERVICE, password: str = PASSWORD, database: int = 3) -> str:
    nobody = f"127.0.0.1:{free_port()}"
    hosts = f"{nobody},127.0.0.1:{sentinel.port}"
    return f"redis+sentinel://{hosts}/{service}/{database}?sentinel_password={password}"


async def test_the_primary_is_found_with_its_database_though_a_sentinel_is_gone(
    own_server: StreamServer, sentinel: Sentinel
) -> None:
    async with StreamClient.from_url(url(sentinel)) as client:
        await client.push("in", "{}")

        async with StreamClient("127.0.0.1", own_server.port, db=3) as direct:
            assert await direct.stream_len("in") == 1
        assert PASSWORD not in client.channel.address


async def test_sentinel_and_server_both_speak_tls(own_server: StreamServer, tmp_path: Path) -> None:
    async with tls_front(own_server) as front:
        with Sentinel(own_server.binary, tmp_path, front, own_password=PASSWORD) as sentinel:
            eventually(sentinel.answers, what="the sentinel answers")
            async with tls_front(sentinel.port) as port:
                query = f"sentinel_password={PASSWORD}&ssl_ca_certs={AUTHORITY}"
                url = f"rediss+sentinel://127.0.0.1:{port}/{SERVICE}?{query}"
                async with StreamClient.from_url(url) as client:
                    await client.push("in", "{}")

                    assert await client.stream_len("in") == 1


async def test_the_user_that_acl_prints_may_do_what_it_takes(
    own_server: StreamServer, sentinel: Sentinel, tmp_path: Path
) -> None:
    graph = load(
        Project(tmp_path / "project", "orders").spec("out: {from: {stream: in}, sink: {type: stdout}}")
    )
    user, _ = users(graph, is_watched=True, database=3)
    async with StreamClient("127.0.0.1", own_server.port) as direct:
        await direct.channel.execute(*user.setuser.split(), key="")

    login = url(sentinel).replace("://", f"://{user.name}:{user.password}@")
    async with StreamClient.from_url(login) as client:
        await StreamProducer(client, "{orders}:in").push({"n": 1})

        assert await client.stream_len("{orders}:in") == 1


async def test_a_service_that_no_sentinel_knows_is_no_outage(sentinel: Sentinel) -> None:
    async with StreamClient.from_url(url(sentinel, service="ordres")) as client:
        with pytest.raises(SettleError, match="knows no service of the name in the URL"):
            await client.stream_len("in")


async def test_a_login_that_a_sentinel_refuses_is_no_outage(sentinel: Sentinel) -> None:
    async with StreamClient.from_url(url(sentinel, password="wrong")) as client:
        with pytest.raises(LoginError, match="check user and password"):
            await client.stream_len("in")


async def test_a_primary_that_has_become_a_replica_is_not_spoken_to(
    own_server: StreamServer, sentinel: Sentinel
) -> None:
    async with StreamClient("127.0.0.1", own_server.port) as direct:
        await direct.channel.execute("REPLICAOF", "127.0.0.1", str(free_port()), key="")

    async with StreamClient.from_url(url(sentinel)) as client:
        with pytest.raises(ServerUnavailableError, match="it is a replica by now"):
            await client.stream_len("in")


async def test_connections_to_a_server_that_is_primary_no_longer_are_closed(
    own_server: StreamServer, sentinel: Sentinel
) -> None:
    with StreamServer(own_server.binary, tcp=True) as other:
        async with (
            StreamClient.from_url(url(sentinel)) as client,
            StreamClient("127.0.0.1", own_server.port) as old,
        ):
            await asyncio.gather(*(client.push("in", "{}") for _ in range(8)))
            sentinel.ask("SENTINEL", "REMOVE", SERVICE)
            sentinel.ask("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", str(other.port), "1")
            await old.channel.execute("REPLICAOF", "127.0.0.1", str(free_port()), key="")
            with pytest.raises(ServerUnavailableError):
                await client.push("in", "{}")

            await client.push("in", "{}")

            async def is_left() -> bool:
                return b" db=3 " not in await old.channel.execute("CLIENT", "LIST", key="")

            await wait_until(is_left, timeout=5, what="no connection to the old primary is open")
