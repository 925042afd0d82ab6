"""entry_pages: the entries of a stream between two ids, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.entry import RawEntry, range_reply


async def entry_pages(
    channel: Channel, stream: str, start: str = "-", end: str = "+", *, size: int
) -> AsyncGenerator[list[RawEntry], None]:
    """
    Yield the entries of a range of a stream, in pages.

    Args:
        channel: The server.
        stream: The stream's key.
        start, end: As in XRANGE.
        size: Entries in one page, at most.

    Raises:
        StreamError: From the server.

    Delivery: reads only; entries that are added or removed between two pages may be missed.
    Redis: XRANGE.
    """
    while True:
        reply = await channel.execute("XRANGE", stream, start, end, "COUNT", size, key=stream)
        page = list(range_reply(stream, reply))
        yield page
        if len(reply) < size:
            return
        start = f"({page[-1].id}"
