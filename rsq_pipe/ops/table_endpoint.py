"""Endpoints of servers that hold tables: whether `lookup` can ask them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.files.endpoints import readable
from rsq_pipe.spec.lookup import FileRef, HttpRef, PostgresRef, RedisRef, TableRef
from rsq_pipe.streams.client import StreamClient


def table_endpoint(table: TableRef, *, stage: str, root: Path) -> Endpoint | None:
    """Name where the rows of a lookup are found; None of the pipeline's own server, which is asked anyway."""
    match table:
        case FileRef():
            return readable([table.path], stage=stage, root=root)
        case RedisRef():
            return server_endpoint(StreamClient.from_url(table.url)) if table.url else None
        case PostgresRef():
            from rsq_pipe.connectors.postgres.reach import reach_query  # noqa: PLC0415  an extra

            return Endpoint(table.text, lambda seconds: reach_query(table.dsn, table.query, seconds))
        case HttpRef():
            from rsq_pipe.connectors.http.reach import reach_address  # noqa: PLC0415  an extra

            beginning = str(table.url.parts[0])  # the key stands behind it
            return Endpoint(
                table.text, lambda seconds: reach_address(beginning, table.allow, table.headers, seconds)
            )


def server_endpoint(client: StreamClient) -> Endpoint:
    """Name a Redis server; the client is closed once it was tried."""

    async def ping(seconds: float) -> None:
        try:
            await client.channel.execute("PING", key="", timeout=seconds)
        finally:
            await client.close()

    return Endpoint(client.channel.address, lambda seconds: asyncio.run(ping(seconds)))
