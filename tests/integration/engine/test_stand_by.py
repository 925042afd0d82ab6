"""A process asks at once for all that others own and it waits for."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from rsq_pipe.engine.ownership.ownership import Ownership, Superseded
from rsq_pipe.engine.ownership.stand_by import StandBy
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.lease import Lease
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, wait_until

NOBODY = 2**22 + 1
"""A number that no process has: Linux gives none above 2**22."""


@pytest.fixture
async def client(server: StreamServer) -> AsyncIterator[StreamClient]:
    async with StreamClient.from_url(server.url) as client:
        yield client


@pytest.fixture
async def held(client: StreamClient, name: str) -> list[Lease]:
    """Three leases that another process holds."""
    leases = [Lease(client, f"{{{name}}}:{number}", 60) for number in range(3)]
    for lease in leases:
        assert await lease.take()
    return leases


class Waiting:
    """Stand by for some leases, each with an ownership of its own."""

    def __init__(self, client: StreamClient, leases: list[Lease]) -> None:
        self.stopping = asyncio.Event()
        self.owned: list[str] = []
        self.asked: list[int] = []
        self._count(client)
        stand_by = StandBy(client)
        self.tasks = [asyncio.ensure_future(self._own(client, stand_by, *lease.keys)) for lease in leases]

    async def _own(self, client: StreamClient, stand_by: StandBy, key: str) -> None:
        async def work(_: int) -> None:
            self.owned.append(key)
            await self.stopping.wait()

        await Ownership(Lease(client, key, 60), stand_by, key, self.stopping).hold(work)

    def _count(self, client: StreamClient) -> None:
        execute = client.channel.execute

        async def counted(*command: Any, **named: Any) -> Any:
            if command[0] == "MGET":
                self.asked.append(len(command) - 1)
            return await execute(*command, **named)

        client.channel.execute = counted  # type: ignore[method-assign]

    async def end(self) -> None:
        self.stopping.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks), PATIENCE)


async def test_all_leases_are_asked_for_by_one_command_and_what_comes_free_is_taken(
    client: StreamClient, held: list[Lease]
) -> None:
    waiting = Waiting(client, held)
    await wait_until(lambda: len(waiting.asked) >= 2)

    await held[1].drop()

    await wait_until(lambda: waiting.owned)
    await wait_until(lambda: waiting.asked[-1] == 2)
    assert (waiting.owned, set(waiting.asked)) == ([*held[1].keys], {2, 3})
    await waiting.end()


async def test_what_a_process_of_this_machine_held_that_was_killed_is_taken_at_the_next_look(
    client: StreamClient, held: list[Lease]
) -> None:
    waiting = Waiting(client, held[:1])
    await wait_until(lambda: waiting.asked)
    (key,) = held[0].keys
    holder = (await client.channel.execute("GET", key, key=key)).decode()

    dead = holder.replace(f"_{os.getpid()}-", f"_{NOBODY}-")
    await client.channel.execute("SET", key, dead, "KEEPTTL", key=key)

    await wait_until(lambda: waiting.owned)
    await waiting.end()


async def test_who_waits_for_nothing_any_more_asks_for_nothing(
    client: StreamClient, held: list[Lease]
) -> None:
    waiting = Waiting(client, held)
    await wait_until(lambda: waiting.asked)

    await waiting.end()

    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert [task for task in others if "_ask" in repr(task)] == []


async def test_work_that_notices_that_it_was_taken_over_as_its_lease_is_found_lost_raises_nothing(
    client: StreamClient, name: str
) -> None:
    lease, stopping = Lease(client, f"{{{name}}}:lease", 0.2), asyncio.Event()
    unheard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context["message"]))

    async def work(_: int) -> None:
        await client.channel.execute("SET", *lease.keys, "another", key=lease.keys[0])
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Superseded from None

    async with asyncio.timeout(PATIENCE):
        with capture_logs() as logs:
            owning = asyncio.ensure_future(Ownership(lease, StandBy(client), "sink x", stopping).hold(work))
            await wait_until(lambda: any("another process took over" in log["event"] for log in logs))
            stopping.set()
            await owning
    gc.collect()

    assert unheard == []
