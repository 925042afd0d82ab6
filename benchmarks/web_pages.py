"""The sources `http`, pages of 500 records, and `webhook`, compared with equivalent bare aiohttp loops."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import aiohttp
import msgspec
from aiohttp import web

from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.single import ROWS, batches, made, read
from benchmarks.web_service import service, serving
from tests.support.ports import free_port

TITLE = "From a web service, pages of 500 records; from ten clients at once by POST"
SIZE = (50, 4)
BESIDE = {
    "source http": "bare GET",
    "source webhook": "bare server of aiohttp",
    "source webhook, 100 a request": "bare server of aiohttp, 100 a request",
}
CLIENTS, MANY = 10, 100


def bare_pages(url: str) -> Figures:
    """Request one page after another, and decode it."""

    async def ask() -> Figures:
        watch, found = Stopwatch(), 0
        after: int | None = 0
        async with aiohttp.ClientSession() as session:
            while after is not None:
                async with session.get(url, params={"after": after}) as answer:
                    page = msgspec.json.decode(await answer.read())
                found, after = found + len(page["items"]), page["next"]
        return watch.figures(found)

    return asyncio.run(ask())


def pages(url: str) -> Figures:
    paginate = {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}
    return read(made("source", "http", url=url, records="items", paginate=paginate))


def bare_posts(requests: int, records: int) -> Figures:
    """Decode what is posted, and answer."""

    async def serve() -> Figures:
        total, found, watch, done = requests * records, -records, Stopwatch(), asyncio.Event()

        async def answer(request: web.Request) -> web.Response:
            nonlocal found, watch
            given = msgspec.json.decode(await request.read())
            if found < 0:  # the first: the clients have started
                watch = Stopwatch()
            found += len(given) if isinstance(given, list) else 1
            if found >= total:
                done.set()
            return web.json_response({"stored": records})

        app = web.Application()
        app.router.add_post("/", answer)
        port = free_port()
        runner = await serving(app, port)
        with posting(port, requests, records):
            await done.wait()
        figures = watch.figures(found)
        await runner.cleanup()
        return figures

    return asyncio.run(serve())


def posts(requests: int, records: int) -> Figures:
    port = free_port()
    source = made("source", "webhook", listen=f"127.0.0.1:{port}")
    with posting(port, requests, records):
        watch, found = Stopwatch(), -records
        for chunk in source.read("requests", "", ROWS):
            if found < 0:
                watch = Stopwatch()
            found += len(chunk)
            chunk.settled(True)  # noqa: FBT003  as the runner calls it
            if found >= requests * records:
                break
        figures = watch.figures(found)
    source.close()
    return figures


@contextmanager
def posting(port: int, requests: int, records: int) -> Iterator[None]:
    """Post from another process: one request as soon as something listens, and then the others."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_post, args=(port, requests, records), daemon=True)
    process.start()
    try:
        yield
        process.join(30)  # the last ones get their answers
    finally:
        process.kill()
        process.join()


def _post(port: int, requests: int, records: int) -> None:
    (batch,) = batches(1, records)
    body = msgspec.json.encode(batch.records if records > 1 else batch.records[0])
    url, headers = f"http://127.0.0.1:{port}/", {"Content-Type": "application/json"}

    async def post(session: aiohttp.ClientSession, waiting: Iterator[int]) -> None:
        for _ in waiting:
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()
                answer.raise_for_status()

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientConnectionError):
                    await post(session, iter([0]))
                    break
                await asyncio.sleep(0.02)
            waiting = iter(range(requests))
            await asyncio.gather(*(post(session, waiting) for _ in range(CLIENTS)))

    asyncio.run(run())


def _app(pages: int) -> web.Application:
    (batch,) = batches(1)
    items = msgspec.json.encode(batch.records)
    bodies = [
        b'{"items": %b, "next": %d}' % (items, number + 1)
        if number + 1 < pages
        else b'{"items": %b, "next": null}' % items
        for number in range(pages)
    ]

    async def answer(request: web.Request) -> web.Response:
        number = int(request.query.get("after", "0"))
        return web.Response(body=bodies[number], content_type="application/json")

    app = web.Application()
    app.router.add_get("/", answer)
    return app


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Start a service, in its own process, that serves pages."""
    with service(partial(_app, 4 * count)) as url:
        yield {
            "bare GET": partial(bare_pages, url),
            "source http": partial(pages, url),
            "bare server of aiohttp": partial(bare_posts, 100 * count, 1),
            "source webhook": partial(posts, 100 * count, 1),
            "bare server of aiohttp, 100 a request": partial(bare_posts, 20 * count, MANY),
            "source webhook, 100 a request": partial(posts, 20 * count, MANY),
        }
