"""Execution: runs a test to its end, and collects the results, or reports where its records are stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsq_pipe.engine.encoding.codecs import serializer
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.runner import Runner
from rsq_pipe.engine.state.state import PipelineState, StageState
from rsq_pipe.engine.summary import Summary
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import range_reply
from rsq_pipe.streams.link import Command
from rsq_pipe.streams.serializers import JsonSerializer
from rsq_pipe.testing.pipeline_test import PipelineTest
from rsq_pipe.testing.runs import Dead, PipelineRun

HASTE = 0.02
"""Seconds between two checks for records that wait for their next attempt."""


async def execute(test: PipelineTest, address: str, timeout: float) -> PipelineRun:
    """
    Run a test on an empty server.

    Args:
        test: The test.
        address: The server.
        timeout: Maximum seconds for the run.

    Raises:
        TimeoutError: It took longer; work in flight was abandoned.
        HandlerError: A stage with `on_error: stop` stopped.
    """
    async with StreamClient.from_url(address) as client:
        summary = await _summary(test, client, timeout)
        letters = {stage.name: await _letters(test.graph, stage, client) for stage in test.own}
    return PipelineRun(
        test.graph.pipeline,
        sinks={name: _records(file) for name, file in test.sinks.items()},
        streams={key: _records(file) for key, file in test.streams.items()},
        letters=letters,
        counts={stage.name: summary.stages[stage.name] for stage in test.own},
    )


async def _summary(test: PipelineTest, client: StreamClient, timeout: float) -> Summary:
    runner = Runner(test.graph, client)
    haste = asyncio.ensure_future(_make_haste(test.graph, client))
    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            return await runner.run()
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise TimeoutError(unfinished(test, runner.state, timeout)) from exc
    finally:
        haste.cancel()
        await asyncio.gather(haste, return_exceptions=True)


async def _make_haste(graph: Graph, client: StreamClient) -> None:
    """Make every record that waits for its next attempt due now: a test must not wait out a backoff."""
    keys = [Keyspace(graph.pipeline).retry(stage) for stage in graph.stages]
    # Scores are due times; a union of the set with itself, weighted 0, makes all of them long due.
    commands: list[Command] = [["ZUNIONSTORE", key, 1, key, "WEIGHTS", 0] for key in keys]
    while True:
        await client.channel.exchange(commands, key=keys[0])
        await asyncio.sleep(HASTE)


async def _letters(graph: Graph, stage: Stage, client: StreamClient) -> list[Dead]:
    key, decode = Keyspace(graph.pipeline).dlq(stage), serializer(graph).decode
    reply = await client.channel.execute("XRANGE", key, "-", "+", key=key)
    letters = [DeadLetter(stage.name, entry) for entry in range_reply(key, reply)]
    return [Dead(decode(letter.raw), letter.reason, letter.error) for letter in letters]


def _records(file: Path) -> list[dict[str, Any]]:
    decode = JsonSerializer(strict=False).decode
    return [decode(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def unfinished(test: PipelineTest, state: PipelineState | None, seconds: float) -> str:
    """
    Describe what a pipeline still had to handle.

    Args:
        test: The pipeline.
        state: What it held at the last look; None if there was none.
        seconds: Seconds that it had.
    """
    late = f"pipeline {test.graph.pipeline!r} was not drained after {seconds:g} s"
    if state is None:
        return f"{late}: it had not begun; give it a longer `timeout`"
    places = [*_unread(test, state), *_unsettled(state)]
    where = "; ".join(places) or "nothing was left to do but to end"
    return f"{late}: {where}. Look there, or give it a longer `timeout`"


def _unread(test: PipelineTest, state: PipelineState) -> Iterator[str]:
    for source, given in test.given.items():
        entered = state.counters.get(f"{source}:out", 0)
        if entered < given:
            yield f"{source!r} has given {entered:,} of {given:,} records"


def _unsettled(state: PipelineState) -> Iterator[str]:
    for name, stage in state.stages.items():
        if not stage.idle:
            yield f"{name!r} has {_work(stage)}"


def _work(stage: StageState) -> str:
    parts = [
        (stage.pending, "in flight"),
        (stage.retry, "waiting for another attempt"),
        (stage.lag or 0, "not read yet"),
    ]
    return ", ".join(f"{count:,} {what}" for count, what in parts if count) or "records to read"
