"""Reach: whether a pipeline's server, and the systems of its sources and sinks, can be reached."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from rsq_pipe.connectors.endpoint import UNCHECKED, Endpoint
from rsq_pipe.connectors.files.endpoints import readable
from rsq_pipe.connectors.table import connector
from rsq_pipe.error_text import one_line
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage
from rsq_pipe.spec.stages.lookup import FileRef, HttpRef, Lookup, PostgresRef, RedisRef, TableRef
from rsq_pipe.streams.client import StreamClient

SECONDS = 10.0
"""Seconds that one may take to answer."""

_GRACE = 2.0  # extra seconds for a system that reports its own timeout
AT_ONCE = 16
"""Number of systems that are tried at once."""

T = TypeVar("T")


class Reached(Struct, frozen=True):
    """
    Describe the result for one system.

    Args:
        path: Its path in the file: `redis`, or `stages.read`.
        target: Its name.
        fault: What failed, and what to do; empty if it was reached.
        remark: A further remark.
    """

    path: str
    target: str
    fault: str = ""
    remark: str = ""

    def __str__(self) -> str:
        state = f"FAILED: {self.fault}" if self.fault else "ok" if self.remark != UNCHECKED else UNCHECKED
        remark = f" ({self.remark})" if self.remark and not self.fault and self.remark != UNCHECKED else ""
        return redact(f"{self.path}: {self.target}: {state}{remark}")


def reach(graph: Graph, client: StreamClient | None, seconds: float = SECONDS) -> Iterator[Reached]:
    """
    Try all systems that a pipeline talks to, several at once; yield results in the file's order.

    Args:
        graph: The pipeline.
        client: Its server; None for the embedded one, which `run` starts.
        seconds: Maximum seconds for each.
    """
    tried = [
        (
            "redis",
            _server_endpoint(client)
            if client
            else Endpoint("the embedded server", lambda _: "`run` starts it"),
        )
    ]
    tried += [
        (f"stages.{stage.name}", named)
        for stage in graph.stages
        if (named := _endpoint(graph, stage)) is not None
    ]
    places = threading.Semaphore(AT_ONCE)
    answers = [begun(one.reach, seconds, places) for _, one in tried]
    for (path, one), answer in zip(tried, answers, strict=True):
        until = time.monotonic() + seconds + _GRACE
        try:
            found = answer.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            found = TimeoutError(f"no answer within {seconds:g} s; check the address, and the network")
        if isinstance(found, Exception):
            yield Reached(path, one.target, _described(found, path, one.target))
        else:
            yield Reached(path, one.target, remark=found or "")


def _endpoint(graph: Graph, stage: Stage) -> Endpoint | None:
    """Return the system that a stage talks to; None if there is none."""
    if isinstance(stage.options, Lookup):
        return _table_endpoint(stage.options.table, stage=stage.name, root=graph.root)
    if not isinstance(stage.options, ConnectorRef):
        return None
    ref: ConnectorRef = stage.options
    named = connector(ref.kind, ref.type).endpoint
    if named is None:
        return Endpoint(f"{ref.kind} {ref.type}", lambda _: UNCHECKED)
    found: Endpoint = named(ref.options, stage=stage.name, root=graph.root)
    return found


def _table_endpoint(table: TableRef, *, stage: str, root: Path) -> Endpoint | None:
    """Return the system with a lookup's rows; None for the pipeline's own server, which is tried anyway."""
    match table:
        case FileRef():
            return readable([table.path], stage=stage, root=root)
        case RedisRef():
            return _server_endpoint(StreamClient.from_url(table.url)) if table.url else None
        case PostgresRef():
            from rsq_pipe.connectors.postgres.reach import reach_query  # noqa: PLC0415  an extra

            return Endpoint(table.text, lambda seconds: reach_query(table.dsn, table.query, seconds))
        case HttpRef():
            from rsq_pipe.connectors.http.reach import reach_address  # noqa: PLC0415  an extra

            beginning = str(table.url.parts[0])  # without the key, which follows it
            return Endpoint(
                table.text, lambda seconds: reach_address(beginning, table.allow, table.headers, seconds)
            )


def _server_endpoint(client: StreamClient) -> Endpoint:
    """Return a Redis server as an endpoint; the client is closed after the attempt."""

    async def ask(seconds: float) -> None:
        try:
            # Not PING, which a user that only runs pipelines may not call.
            await client.channel.execute("TIME", key="", timeout=seconds)
        finally:
            await client.close()

    return Endpoint(client.channel.address, lambda seconds: asyncio.run(ask(seconds)))


def begun(
    attempt: Callable[[float], T], seconds: float, places: threading.Semaphore
) -> queue.SimpleQueue[T | Exception]:
    """Try one in a thread that does not delay the end of the process; return where its result will be."""
    answer: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()

    def run() -> None:
        with places:
            try:
                answer.put(attempt(seconds))
            except Exception as exc:  # noqa: BLE001  whatever a connector raises
                answer.put(exc)

    threading.Thread(target=run, name="rsq-pipe reach", daemon=True).start()
    return answer


def _described(exc: Exception, path: str, target: str) -> str:
    """Describe in one line why it was not reached, without repeating the beginning of the line."""
    text = one_line(exc)
    text = text.removeprefix(f"stage {path.removeprefix('stages.')!r}: ").removeprefix(f"{target}: ")
    return text if ";" in text else f"{text}; check that it is there, and what the file says of it"
