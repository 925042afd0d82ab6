"""A settlement that was begun is on its way before the next batch is handled."""

from __future__ import annotations

from time import monotonic

from redis import Redis

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.settlement import Settled, Settlement
from rsq_pipe.streams.waiting import Settling
from tests.integration.streams.conftest import Consume
from tests.support.consumers import GROUP, copied, copy_to
from tests.support.server import StreamServer


async def test_a_settlement_reaches_the_server_while_the_next_batch_only_computes(
    server: StreamServer,
    client: StreamClient,
    producer: StreamProducer,
    consume: Consume,
    stream: str,
    output: str,
) -> None:
    consumer = consume(copy_to(output))
    worker = consumer.config.worker_name
    await producer.push_many([{"n": n} for n in range(10)])
    first, *others = await client.read(stream, GROUP, worker, count=10)
    await consumer.settle(Settlement([copied(first, output)]))  # the script is known from now on

    settling = Settling[Settled](lambda: None)
    await settling.begin(consumer.settle(Settlement([copied(one, output) for one in others])))
    # Nothing here gives the event loop a turn, as a batch that only computes does not.
    with Redis.from_url(server.url) as beside:
        until = monotonic() + 5
        while beside.xlen(output) < 10 and monotonic() < until:
            pass
        arrived = beside.xlen(output)
    await settling.end()

    assert arrived == 10
