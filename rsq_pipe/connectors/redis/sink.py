"""Sink `redis`: keys of a Redis server, each record once, in one step with a ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.redis.options import Options

if TYPE_CHECKING:
    from rsq_pipe.connectors.redis.writing import RedisSink
    from rsq_pipe.streams.client import StreamClient

__all__ = ["Options", "connect", "endpoint"]


def connect(
    options: Options,
    *,
    stage: str,
    root: Path,  # noqa: ARG001  every connector's signature
    pipeline: str,
    ledger: str,
    client: StreamClient | None = None,
) -> RedisSink:
    """Make the sink of a stage; nothing is opened yet."""
    from rsq_pipe.connectors.redis.writing import RedisSink  # noqa: PLC0415  the client library

    return RedisSink(options, stage=stage, pipeline=pipeline, ledger=ledger, client=client)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the keys as an endpoint; the server is pinged."""
    target = f"redis {options.kind} {options.key}"
    if not options.url:
        return Endpoint(target, lambda _: "on the pipeline's own server")

    def reach(seconds: float) -> None:
        from rsq_pipe.connectors.redis.writing import ping  # noqa: PLC0415  the client library

        asyncio.run(ping(options.url, seconds))

    return Endpoint(target, reach)
