"""A web service for contenders that call one: here, or in its own process."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from aiohttp import web


async def serving(app: web.Application, port: int = 0) -> web.AppRunner:
    """Serve on loopback from now on, in this loop; port 0 means any free one."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


@contextmanager
def service(make: Callable[[], web.Application]) -> Iterator[str]:
    """Serve, in another process, what a function makes there; yield the address."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(theirs, make), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/"
    finally:
        process.kill()
        process.join()


def _serve(told: Connection, make: Callable[[], web.Application]) -> None:
    async def serve() -> None:
        runner = await serving(make())
        told.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())
