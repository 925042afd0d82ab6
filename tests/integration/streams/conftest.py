"""A client, a stream with a group, and a proxy, for the tests of the stream library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.producer import StreamProducer
from tests.support.consumers import GROUP, settings
from tests.support.proxy import Proxy
from tests.support.server import StreamServer

Consume = Callable[..., StreamConsumer]


@pytest.fixture
async def client(server: StreamServer) -> AsyncIterator[StreamClient]:
    async with StreamClient.from_url(server.url) as client:
        yield client


@pytest.fixture
async def stream(client: StreamClient, name: str) -> str:
    """The name of a stream with the group GROUP, in a hash tag that other keys of a test can share."""
    stream = f"{{{name}}}:in"
    await client.create_group(stream, GROUP)
    return stream


@pytest.fixture
def output(name: str) -> str:
    """The name of a stream beside `stream`."""
    return f"{{{name}}}:out"


@pytest.fixture
def producer(client: StreamClient, stream: str) -> StreamProducer:
    return StreamProducer(client, stream)


@pytest.fixture
def consume(client: StreamClient, stream: str) -> Consume:
    """Make a consumer of `stream`; keywords that are settings go to its configuration."""

    def make(handler: Any, *, through: StreamClient | None = None, **changes: Any) -> StreamConsumer:
        others = {
            key: changes.pop(key)
            for key in ("dlq_handler", "serializer", "error_hook", "counters", "on_settled", "pending_seen")
            if key in changes
        }
        return StreamConsumer(through or client, stream, settings(**changes), handler, **others)

    return make


@pytest.fixture
async def proxy(server: StreamServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.url) as running:
        yield running


@pytest.fixture
async def through_proxy(proxy: Proxy) -> AsyncIterator[StreamClient]:
    """A client whose replies a test can lose."""
    async with StreamClient.from_url(proxy.url) as client:
        yield client
