"""A till's sales are added up per article, each counted once: the stream library without any YAML."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from pathlib import Path

from rsq_pipe import (
    ConsumerConfig,
    Part,
    Settlement,
    StreamClient,
    StreamConsumer,
    StreamMessage,
    StreamProducer,
)
from rsq_pipe.server.embedded import acquire
from rsq_pipe.streams.settlement import Entry

SALES = [
    {"article": "bread", "quantity": 2},
    {"article": "tea", "quantity": 1},
    {"article": "bread", "quantity": 3},
    {"article": "tea", "quantity": 4},
    {"article": "butter", "quantity": 1},
]


async def main(url: str) -> None:
    # One hash tag: in a cluster, all keys of one settlement have to be in one slot.
    async with StreamClient.from_url(url) as client:
        await StreamProducer(client, "{till}:sales").push_many(SALES)
        await client.push("{till}:sales", "this is not JSON")

        sums = StreamProducer(client, "{till}:sums")

        async def add_up(messages: list[StreamMessage]) -> Settlement:
            """Make one output of several inputs: it is written with their acknowledgement, or not at all."""
            sold: dict[str, list[StreamMessage]] = defaultdict(list)
            for message in messages:
                sold[message.data["article"]].append(message)
            return Settlement(
                [
                    Part(
                        [Entry(one.stream, one.id, one.delivery_count) for one in group],
                        outputs=[sums.entry(total(article, group))],
                    )
                    for article, group in sold.items()
                ]
            )

        config = ConsumerConfig(group="adding", dlq_stream="{till}:dead", batch_wait_ms=50)
        consumer = StreamConsumer(client, "{till}:sales", config, add_up)
        await consumer.run_once()  # one batch; `run` goes on until `stop`

        print("handled", consumer.metrics().total_acked, "dead", consumer.metrics().total_dlq)
        await show(client)


def total(article: str, group: list[StreamMessage]) -> dict[str, object]:
    return {"article": article, "sold": sum(message.data["quantity"] for message in group)}


async def show(client: StreamClient) -> None:
    """Read both results, as their next reader would."""
    sums, letters = "{till}:sums", "{till}:dead"
    for stream in (sums, letters):
        await client.create_group(stream, "reader")
    for message in await client.read(sums, "reader", "me"):
        print("sum", message.data.decode())
        await client.ack(sums, "reader", [message.id])
    for letter in await client.read(letters, "reader", "me"):
        print("dead letter", letter.headers["rsq-dlq-reason"], letter.data.decode())
        await client.ack(letters, "reader", [letter.id])


if __name__ == "__main__":
    if address := os.environ.get("RSQ_PIPE_REDIS"):
        asyncio.run(main(address))
    else:
        # The bundled server of this project; it ends when nobody uses it any more.
        with acquire(Path(__file__).parents[2]) as server:
            asyncio.run(main(server.url))
