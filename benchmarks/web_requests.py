"""How many requests per second the sink `http` sends, compared with an equivalent aiohttp loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.single import sender, sent
from benchmarks.web_service import service
from rsq_pipe.model.batch import Batch

TITLE = "To a web service, 10 requests at once"
SIZE = (50, 2)
BESIDE = {"sink http": "bare POST", "sink http, body: array": "bare POST"}
ROWS, CONCURRENCY = 200, 10
RECORD = {"id": 17, "carrier": "UA", "name": "United Air Lines Inc.", "delay": 2.5, "tail": None}


@contextmanager
def contenders(batches: int) -> Iterator[dict[str, Job]]:
    """Start a server in its own process that answers each request at once; name the contenders."""
    with service(_app) as url:
        yield {
            "bare POST": partial(_bare, url, batches),
            "sink http": partial(_sink, url, batches, body="record"),
            "sink http, body: array": partial(_sink, url, batches, body="array"),
        }


def _bare(url: str, batches: int) -> Figures:
    async def send() -> Figures:
        watch = Stopwatch()
        encode, waiting = msgspec.json.Encoder().encode, iter([RECORD] * (ROWS * batches))
        headers = {"Content-Type": "application/json"}

        async def work(session: aiohttp.ClientSession) -> None:
            for record in waiting:
                async with session.post(url, data=encode(record), headers=headers) as answer:
                    await answer.read()
                    answer.raise_for_status()

        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(work(session) for _ in range(CONCURRENCY)))
        return watch.figures(ROWS * batches)

    return asyncio.run(send())


def _sink(url: str, batches: int, **options: Any) -> Figures:
    rids = [[f"read:in.jsonl:{number}.{place}" for place in range(ROWS)] for number in range(batches)]
    given = [Batch([RECORD] * ROWS, ids) for ids in rids]
    return sent(sender("http", url=url, concurrency=CONCURRENCY, **options), given)


def _app() -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=201)

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/", answer)
    return app
