"""Intake: the consumer through which a stage reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from rsq_pipe.connectors.sink import Gather
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.packing import PACK_RECORDS
from rsq_pipe.engine.process import Process
from rsq_pipe.spec.fusing import asks_server, runs_user_code, sends
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.batch_reader import ReadSize
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.consumer import StreamConsumer

BLOCK_MS = 5_000
"""Milliseconds that one read waits; neither a stop nor entries to be handled again wait for it."""

MANY = 2_000
"""Records that a stage without user code reads at once, if that many wait."""

FOR_EVER = 2**31
"""The delivery limit for entries that may be delivered any number of times."""


def deliveries(stage: Stage, fused: Iterable[Stage] = ()) -> int:
    """Return how often an entry may be delivered to a stage and those in its worker."""
    # With `on_error: stop`, each run delivers a record once more; that must never make it a dead letter.
    stops = any(one.on_error == "stop" for one in (stage, *fused))
    return FOR_EVER if stops else stage.retry.deliveries


def at_most(stage: Stage, records: int) -> int:
    """Return how many records a batch may have: with a `rate`, no more than its burst."""
    return records if stage.rate is None else min(records, stage.rate.burst)


def together(graph: Graph, stages: Sequence[Stage]) -> int:
    """
    Return how many records a worker reads at once, at most.

    It is more than one pack if no user code runs (whose calls must not get larger) and no setting asks for
    less: the fixed cost of a batch is a third of what 500 records cost. A join gains nothing by it.

    Args:
        graph: The pipeline.
        stages: The stage that reads, and those fused with it.
    """
    size = stages[0].batch_size
    computes = not any(runs_user_code(stage) or sends(stage) or stage.verb == "join" for stage in stages)
    if size != PACK_RECORDS or stages[0].batch_wait > 0 or not computes:
        return min(size, graph.max_backlog)
    return max(min(size, graph.max_backlog), min(MANY, graph.max_backlog // 4))


def quickly(graph: Graph, stages: Sequence[Stage]) -> int:
    """
    Return how many records a worker reads at once, at most, as long as it handles that many quickly.

    A batch has a high fixed cost, and no call gets more than `batch.size`. If a function takes 50 us or
    longer, it stays at one pack: records would wait here that other workers could have taken.

    Args:
        graph, stages: As in `together`.
    """
    asked = stages[0].batch_wait > 0 or any(stage.batch_size != PACK_RECORDS for stage in stages)
    waits = any(sends(stage) or asks_server(stage) or stage.verb == "join" for stage in stages)
    return 0 if asked or waits else min(MANY, graph.max_backlog // 4)


def consumer(
    process: Process,
    stage: Stage,
    fused: Iterable[Stage] = (),
    *,
    gather: Gather | None = None,
    name: str = "",
    quick: bool = False,
    calls_each: bool = False,
) -> StreamConsumer:
    """
    Make a stage's consumer; it reads the stage's own `again` stream first, then its inputs.

    Args:
        process: What the stages of this process share.
        stage: The stage.
        fused: The stages that run in its worker.
        gather: When a batch is full, and how long it waits for that; the stage's own settings if left out.
        name: The consumer's name, if it replaces one that has ended; a new name if left out.
        quick: Whether more may be read at once while it is handled quickly.
        calls_each: Whether the stage calls a handler for each record: batches suit its speed.
    """
    graph = process.graph
    outside = all(ref.external for ref in stage.inputs)
    gather = gather or Gather(together(graph, (stage, *fused)), stage.batch_wait)
    most = at_most(stage, gather.records)
    many = quickly(graph, (stage, *fused)) if quick else 0
    suits = None
    if calls_each and stage.batch_size == PACK_RECORDS:  # otherwise somebody asks for another number
        suits = partial(process.times.together, [stage.name])
    return StreamConsumer(
        process.client,
        Keyspace(graph.pipeline).inputs(stage),
        ConsumerConfig(
            group=stage.name,
            worker_name=name,
            batch_size=stage.batch_size,
            batch_wait_ms=round(gather.seconds * 1000),
            block_ms=BLOCK_MS,
            min_idle_claim_ms=round(graph.reclaim_idle * 1000),
            max_deliveries=deliveries(stage, fused),
            halt_on_fault=True,
            create_groups=False,  # they exist already; here, a lost one would be recreated from 0
        ),
        isolation=process.isolation,
        read_size=ReadSize(most, 1 if outside else PACK_RECORDS, gather.size, many, suits),
        pending_seen=process.pending[stage.name],
    )
