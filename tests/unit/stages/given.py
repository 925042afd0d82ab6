"""What the tests of verbs are given: stages, messages, and verbs around a handler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rsq_pipe.spec.graph import RetryPolicy, Stage, StreamRef
from rsq_pipe.stages.batch_call import BatchCall
from rsq_pipe.stages.call import Call
from rsq_pipe.stages.handler import describe
from rsq_pipe.stages.stage_handler import StageHandler
from rsq_pipe.streams.headers import ATTEMPTS, RID
from rsq_pipe.streams.message import StreamMessage

RETRY = RetryPolicy(attempts=3, first=0.2, max=30.0, jitter=0.2, deliveries=3)


def stage(
    name: str = "price",
    verb: Any = "call",
    options: Any = None,
    *,
    values: Mapping[str, Any] | None = None,
    ports: tuple[str, ...] = (),
    timeout: float = 30.0,
    concurrency: int = 1,
) -> Stage:
    outputs = {"": StreamRef(name), **{port: StreamRef(f"{name}.{port}") for port in ports}}
    return Stage(
        name=name,
        verb=verb,
        options=options,
        values=values or {},
        inputs=(StreamRef("read"),),
        outputs=outputs,
        batch_size=200,
        batch_wait=0.05,
        timeout=timeout,
        retry=RETRY,
        on_error="dlq",
        concurrency=concurrency,
    )


def message(record: Any, *, rid: str = "", attempts: str = "", **headers: str) -> StreamMessage:
    ours = {name: text for name, text in ((RID, rid), (ATTEMPTS, attempts)) if text}
    return StreamMessage("1-0", record, headers=ours | headers)


def messages(*records: Any) -> list[StreamMessage]:
    return [StreamMessage(f"{n}-0", record, headers={RID: f"read:{n}"}) for n, record in enumerate(records)]


def numbered(count: int) -> list[StreamMessage]:
    return messages(*({"n": n} for n in range(count)))


@asynccontextmanager
async def calling(function: Callable[..., Any], of: Stage | None = None) -> AsyncIterator[Call | BatchCall]:
    """An open verb that calls the function; closed afterwards."""
    handler = describe(function)
    at = StageHandler(of or stage(), handler, root=Path(), pipeline="orders")
    verb = BatchCall(at) if handler.batch else Call(at)
    await verb.open()
    try:
        yield verb
    finally:
        await verb.close()


async def outcomes(function: Callable[..., Any], *records: Any, of: Stage | None = None) -> list[Any]:
    """What becomes of some records."""
    async with calling(function, of) as verb:
        return list(await verb.process(messages(*records)))
