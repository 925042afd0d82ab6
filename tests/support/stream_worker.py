"""A worker process for tests that kill it: copies records from one stream to another until it is stopped.

    python -m tests.support.stream_worker URL IN OUT DLQ

A record with `kill` ends the process as the kernel would; one with `hang` is never finished, which the
process reports on its standard output.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Settlement
from tests.support.consumers import copied, settings


async def main(url: str, source: str, target: str, dlq: str) -> None:
    async def handler(messages: list[StreamMessage]) -> Settlement:
        for message in messages:
            if "kill" in message.data:
                os.kill(os.getpid(), signal.SIGKILL)
            if "hang" in message.data:
                print("hanging", flush=True)
                await asyncio.Event().wait()
        return Settlement([copied(message, target) for message in messages])

    async with StreamClient.from_url(url) as client:
        config = settings(dlq_stream=dlq, min_idle_claim_ms=100, batch_size=20)
        await StreamConsumer(client, source, config, handler).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
