"""The server's clock."""

from __future__ import annotations

from rsq_pipe.streams.client import StreamClient


async def server_time(client: StreamClient, key: str) -> float:
    """Return the time of the server that holds `key`, in seconds since 1970: entry ids use this clock."""
    seconds, micros = await client.channel.execute("TIME", key=key)
    return int(seconds) + int(micros) / 1e6
