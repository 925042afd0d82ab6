"""The redis sink, 500 records per batch, compared with a pipeline of RPUSH."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import redis

from benchmarks.measure import Figures, Job
from benchmarks.single import batches, made, timed, written
from rsq_pipe.model.batch import Batch
from tests.support.server import StreamServer, binaries

TITLE = "Into Redis by 500 records"
SIZE = (100, 4)
BESIDE = {"sink redis, hash": "bare RPUSH", "sink redis, list": "bare RPUSH"}


def pushes(url: str, count: int) -> Figures:
    """Push JSON in a pipeline of commands, without any guarantee."""
    with redis.Redis.from_url(url) as client:

        def write(batch: Batch) -> None:
            with client.pipeline(transaction=False) as commands:
                for record in batch.records:
                    commands.rpush("pushed", json.dumps(record))
                commands.execute()

        return timed(list(batches(count)), write)


def sink(url: str, count: int, **settings: Any) -> Figures:
    return written(made("sink", "redis", url=url, **settings), list(batches(count)))


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Start a server, a Valkey."""
    with StreamServer(binaries()["valkey"], tcp=True) as server:
        url = server.tcp_url
        yield {
            "bare RPUSH": partial(pushes, url, count),
            "sink redis, hash": partial(sink, url, count, kind="hash", key="row:{id}"),
            "sink redis, list": partial(sink, url, count, kind="list", key="sunk", fresh="empty"),
        }
