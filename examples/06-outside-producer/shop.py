"""A shop: pushes orders onto a stream, and waits until they come back priced. It knows of no pipeline."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from rsq_pipe import ConsumerConfig, StreamClient, StreamConsumer, StreamMessage, StreamProducer
from rsq_pipe.server.embedded import acquire

ORDERS = [
    {"id": 1, "article": "bread", "quantity": 2},
    {"id": 2, "article": "tea", "quantity": 1},
    {"id": 3, "article": "butter", "quantity": 0},
    {"id": 4, "article": "butter", "quantity": 4},
    {"id": 5, "article": "bread", "quantity": 10},
]
PATIENCE = 30.0  # seconds


async def main(url: str) -> None:
    async with StreamClient.from_url(url) as client:
        producer = StreamProducer(client, "shop-orders")
        for order in ORDERS:
            # A push whose reply is lost is sent again, and stored once. The record id is the shop's own.
            await producer.push(order, headers={"rsq-rid": f"shop:{order['id']}"})

        totals: dict[str, float] = {}
        complete = asyncio.Event()

        async def collect(messages: list[StreamMessage]) -> list[str]:
            totals.update({message.rid: message.data["total"] for message in messages})
            if len(totals) == len(ORDERS) - 1:  # one orders nothing, and is dropped
                complete.set()
            return [message.id for message in messages]

        consumer = StreamConsumer(client, "shop-priced", ConsumerConfig(group="shop"), collect)
        running = asyncio.create_task(consumer.run())
        await asyncio.wait_for(complete.wait(), PATIENCE)
        consumer.stop()
        await running
        for rid, total in sorted(totals.items()):
            print(f"{rid} costs {total:.2f}")


if __name__ == "__main__":
    if address := os.environ.get("RSQ_PIPE_REDIS"):
        asyncio.run(main(address))
    else:
        # The bundled server of this project: the one that `rsq-pipe run` uses where none is named.
        with acquire(Path(__file__).parents[2]) as server:
            asyncio.run(main(server.url))
