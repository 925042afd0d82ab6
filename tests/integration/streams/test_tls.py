"""rediss:// encrypts, and checks whom it talks to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rsq_pipe.errors import ServerUnavailableError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.producer import StreamProducer
from tests.support.consumers import copy_to, numbers_in, running, settings
from tests.support.server import StreamServer
from tests.support.signals import wait_until
from tests.support.tls import AUTHORITY, tls_front


@pytest.fixture
async def tls_port(server: StreamServer) -> AsyncIterator[int]:
    async with tls_front(server) as port:
        yield port


async def test_records_flow_through_tls(tls_port: int, stream: str, output: str) -> None:
    url = f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={AUTHORITY}"
    async with StreamClient.from_url(url) as client:
        consumer = StreamConsumer(client, stream, settings(), copy_to(output))
        async with running(consumer):
            await StreamProducer(client, stream).push_many([{"n": n} for n in range(100)])
            await wait_until(lambda: consumer.metrics().total_acked == 100)

        assert await numbers_in(client, output) == list(range(100))


async def test_a_certificate_nobody_vouches_for_is_refused(tls_port: int, name: str) -> None:
    async with StreamClient("127.0.0.1", tls_port, ssl=True) as client:
        with pytest.raises(ServerUnavailableError, match="its certificate is not trusted"):
            await client.stream_len(name)


async def test_plain_text_to_a_tls_port_is_an_error_of_ours(tls_port: int, name: str) -> None:
    async with StreamClient("127.0.0.1", tls_port, socket_timeout=2.0) as client:
        with pytest.raises(ServerUnavailableError):
            await client.stream_len(name)
