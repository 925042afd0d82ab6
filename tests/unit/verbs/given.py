"""What the tests of verbs are given: stages, batches, and verbs around a handler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsq_pipe.handlers.handler import describe
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import EMPTY_LIST, NO_RECORD, UNSAID, Drop, Emit, Outcomes
from rsq_pipe.spec.graph import RetryPolicy, Stage, StreamRef
from rsq_pipe.verbs.batch_call import BatchCall
from rsq_pipe.verbs.call import Call
from rsq_pipe.verbs.stage_handler import StageHandler

RETRY = RetryPolicy(attempts=3, first=0.2, max=30.0, jitter=0.2, deliveries=3)


def stage(
    name: str = "price",
    verb: Any = "call",
    options: Any = None,
    *,
    values: Mapping[str, Any] | None = None,
    ports: tuple[str, ...] = (),
    output: bool = True,
    timeout: float = 30.0,
    concurrency: int = 1,
) -> Stage:
    outputs = {port: StreamRef(f"{name}.{port}" if port else name) for port in ("", *ports)}
    if not output:
        del outputs[""]
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


@dataclass
class One:
    """A record with what is known of it."""

    record: Any
    rid: str
    attempts: int = 0
    headers: dict[str, str] = field(default_factory=dict)


def one(record: Any, rid: str = "read:0", attempts: int = 0, **headers: str) -> One:
    return One(record, rid, attempts, headers)


def batch_of(*ones: One) -> Batch:
    return Batch(
        [each.record for each in ones],
        [each.rid for each in ones],
        headers={place: each.headers for place, each in enumerate(ones) if each.headers},
        attempts={place: each.attempts for place, each in enumerate(ones) if each.attempts},
    )


def batch(*records: Any) -> Batch:
    return batch_of(*(one(record, f"read:{n}") for n, record in enumerate(records)))


def numbered(count: int) -> Batch:
    return batch(*({"n": n} for n in range(count)))


def each(of: Batch, found: Outcomes) -> list[Any]:
    """
    List what became of each record as a handler would say it.

    Checks that each has ended in one way, that the columns are of one length and that children have ids of
    their own. A record without a port is the bare dict; what is done is `...`.
    """
    ends: dict[int, Any] = {}

    def end(place: int, outcome: Any) -> None:
        assert place not in ends, f"record {place} ended twice: {ends[place]}, {outcome}"
        ends[place] = outcome

    emitted: dict[int, list[tuple[str, Any]]] = {}
    for port, column in found.emitted.items():
        assert len(column) == len(column.rids) == len(column.sources) > 0
        assert list(column.sources) == sorted(column.sources)
        for record, rid, source in zip(column.records, column.rids, column.sources, strict=True):
            emitted.setdefault(source, []).append((rid, Emit(record, port) if port else record))
    for place, children in emitted.items():
        rid, outcome = children[0]
        if len(children) == 1 and rid == of.rids[place]:
            end(place, outcome)
        else:
            children.sort(key=lambda child: int(child[0].rpartition(".")[2]))
            assert all(rid.startswith(of.rids[place] + ".") for rid, _ in children)
            end(place, [child for _, child in children])
    for reason, places in found.dropped.items():
        said: dict[str, Any] = {NO_RECORD: None, EMPTY_LIST: [], UNSAID: Drop()}
        for place in places:
            end(place, said.get(reason, Drop(reason)))
    for place, failed in found.failed.items():
        end(place, failed)
    for place, outcome in [*((at, ...) for at in found.done), *((at, "stored") for at in found.stored)]:
        end(place, outcome)
    assert ends.keys() == set(range(len(of))), "each record ends in some way"
    return [ends[place] for place in range(len(of))]


class Calling:
    """An open verb, and what becomes of each record of a batch in it."""

    def __init__(self, verb: Call | BatchCall) -> None:
        self.verb = verb

    async def process(self, of: Batch) -> list[Any]:
        return each(of, await self.verb.process(of))


@asynccontextmanager
async def calling(
    function: Callable[..., Any],
    of: Stage | None = None,
    *,
    decode: Callable[[bytes], Any] | None = None,
) -> AsyncIterator[Calling]:
    """An open verb that calls the function; closed afterwards."""
    handler = describe(function)
    at = StageHandler(of or stage(), handler, root=Path(), pipeline="orders")
    verb = BatchCall(at, decode) if handler.batch else Call(at)
    await verb.open()
    try:
        yield Calling(verb)
    finally:
        await verb.close()


async def outcomes(function: Callable[..., Any], *records: Any, of: Stage | None = None) -> list[Any]:
    """What becomes of some records."""
    async with calling(function, of) as verb:
        return await verb.process(batch(*records))
