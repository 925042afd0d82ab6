"""Killed workers lose and double nothing, and only the record that kills them is condemned."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.producer import StreamProducer
from tests.integration.streams.conftest import Consume
from tests.support.consumers import copy_to, fields_in, numbers_in, pending, running
from tests.support.server import StreamServer
from tests.support.signals import wait_until

ROOT = Path(__file__).parents[3]
Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def dlq(name: str) -> str:
    return f"{{{name}}}:dlq"


@pytest.fixture
def start(server: StreamServer, stream: str, output: str, dlq: str) -> Iterator[Start]:
    started = []

    def start_one() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.support.stream_worker", server.url, stream, output, dlq]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


async def test_what_a_killed_worker_had_in_hand_is_written_once_by_another(
    client: StreamClient, producer: StreamProducer, stream: str, output: str, consume: Consume, start: Start
) -> None:
    await producer.push_many([{"n": n} for n in range(10)] + [{"hang": 1, "n": 10}])
    worker = start()
    assert worker.stdout is not None
    assert await asyncio.to_thread(worker.stdout.readline) == "hanging\n"

    worker.kill()
    async with running(consume(copy_to(output), min_idle_claim_ms=100)):
        await wait_until(lambda: _length(client, output, 11))

    assert min(letter["data"] for letter in await fields_in(client, output)) == '{"hang":1,"n":10}'
    assert await client.stream_len(output) == 11
    assert await pending(client, stream) == 0


async def test_workers_killed_at_any_moment_lose_and_double_nothing(
    client: StreamClient, producer: StreamProducer, stream: str, output: str, consume: Consume, start: Start
) -> None:
    for thousand in range(5):
        await producer.push_many([{"n": thousand * 1_000 + n} for n in range(1_000)])

    for milestone in (100, 1_500):
        workers = [start(), start()]
        await wait_until(lambda least=milestone: _length(client, output, least))  # type: ignore[misc]
        for worker in workers:
            worker.kill()
    async with running(consume(copy_to(output), min_idle_claim_ms=100)):
        await wait_until(lambda: _length(client, output, 5_000))
        await wait_until(lambda: _settled(client, stream))

    assert sorted(await numbers_in(client, output)) == list(range(5_000))


async def test_a_record_that_kills_its_process_is_dead_lettered_and_its_neighbours_are_not(
    client: StreamClient, producer: StreamProducer, stream: str, output: str, dlq: str, start: Start
) -> None:
    await producer.push_many([{"n": n} for n in range(5)] + [{"kill": 1}] + [{"n": n} for n in range(5, 10)])

    deaths = 0
    while not await client.stream_len(dlq):
        worker = start()
        await wait_until(lambda one=worker: _ended_or_dead_lettered(client, dlq, one))  # type: ignore[misc]
        deaths += worker.poll() == -9
    await wait_until(lambda: _length(client, output, 10))

    assert deaths == 3
    assert sorted(await numbers_in(client, output)) == list(range(10))
    assert [letter["data"] for letter in await fields_in(client, dlq)] == ['{"kill":1}']
    assert await pending(client, stream) == 0


async def _ended_or_dead_lettered(client: StreamClient, dlq: str, worker: subprocess.Popen[str]) -> bool:
    return worker.poll() is not None or bool(await client.stream_len(dlq))


async def _length(client: StreamClient, stream: str, least: int) -> bool:
    return await client.stream_len(stream) >= least


async def _settled(client: StreamClient, stream: str) -> bool:
    return await pending(client, stream) == 0
