"""A TLS front for a server: the bundled one is built without TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.server import StreamServer

CERTIFICATES = Path(__file__).parent / "certificates"
AUTHORITY = CERTIFICATES / "ca.pem"
"""What a client has to trust. The key beside it is public, and only good for tests on 127.0.0.1."""


@asynccontextmanager
async def tls_front(server: StreamServer | int, *, told: bytes = b"") -> AsyncIterator[int]:
    """
    Speak TLS on a port of 127.0.0.1, which the block gets, and forward to a server or a port.

    Args:
        server: Where to forward.
        told: The bytes that precede the four of the port where the server tells clients its address: there
            they get the address of the front.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "localhost.pem")
    tasks: set[asyncio.Task[None]] = set()
    told_by: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(server, int):
            replies, requests = await asyncio.open_connection("127.0.0.1", server)
        else:
            replies, requests = await asyncio.open_unix_connection(str(server.socket))
        await asyncio.wait(
            [
                asyncio.create_task(_pump(reader, requests)),
                asyncio.create_task(_pump(replies, writer, *told_by)),
            ]
        )

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(task := asyncio.create_task(serve(reader, writer)))
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    port: int = listener.sockets[0].getsockname()[1]
    if told and isinstance(server, int):
        told_by[:] = told + server.to_bytes(4), told + port.to_bytes(4)
    try:
        yield port
    finally:
        listener.close()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)


async def _pump(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, old: bytes = b"", new: bytes = b""
) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            target.write(data.replace(old, new) if old else data)
            await target.drain()
    target.close()
