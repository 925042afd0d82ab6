"""Trimming keeps what the slowest group may still read, and published streams are no exception."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rsq_pipe.engine.changes import provision
from rsq_pipe.engine.housekeeping.retention import Retention
from rsq_pipe.engine.state.state import read_state
from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab
from tests.support.room import room


@pytest.fixture
async def lab(lab: PackedLab, name: str) -> AsyncIterator[PackedLab]:
    lab.spec(f"""
        {READ}
        add: {{map: {{m: "n + 1"}}, to: {{stream: "{name}-published"}}}}
    """)
    await provision.lay(lab.client, lab.graph)
    yield lab
    await lab.redis("DEL", f"{name}-published")


def published(lab: PackedLab) -> str:
    return f"{lab.pipeline}-published"


async def publish(lab: PackedLab, count: int) -> None:
    for number in range(count):
        await lab.redis("XADD", published(lab), "*", "data", f'{{"n": {number}}}')


async def read(lab: PackedLab, group: str, count: int) -> list[bytes]:
    reply = await lab.redis(
        *("XREADGROUP", "GROUP", group, "reader", "COUNT", count, "STREAMS", published(lab), ">")
    )
    return [entry_id for entry_id, _ in reply[0][1]]


async def test_a_group_that_is_set_back_keeps_all_it_may_read_again(lab: PackedLab) -> None:
    for _ in range(10):
        await lab.append("read", 1)
    entries = await lab.read("add", "read", 10)
    await lab.settle("add", "read", *entries[:8])
    await lab.redis("XGROUP", "SETID", lab.key("read"), "add", "0")

    removed = await Retention(lab.client, lab.graph).trim(exactly=True)

    assert removed == 0
    assert await lab.redis("XLEN", lab.key("read")) == 10


async def test_what_is_pending_and_all_behind_it_is_kept(lab: PackedLab) -> None:
    for _ in range(10):
        await lab.append("read", 1)
    entries = await lab.read("add", "read", 5)
    await lab.settle("add", "read", *entries[:3], entries[4])

    removed = await Retention(lab.client, lab.graph).trim(exactly=True)

    assert removed == 3


async def test_a_published_stream_is_kept_until_somebody_reads_it(lab: PackedLab) -> None:
    await publish(lab, 5)

    assert await Retention(lab.client, lab.graph).trim(exactly=True) == 0
    assert room(await read_state(lab.client, lab.graph), lab.graph, "add", {}) == 10_000


async def test_a_published_stream_is_trimmed_to_what_its_readers_have_acknowledged(lab: PackedLab) -> None:
    await publish(lab, 5)
    for group in ("one", "other"):
        await lab.redis("XGROUP", "CREATE", published(lab), group, "0")
    await lab.redis("XACK", published(lab), "one", *await read(lab, "one", 5))
    await lab.redis("XACK", published(lab), "other", *await read(lab, "other", 2))

    removed = await Retention(lab.client, lab.graph).trim(exactly=True)

    assert removed == 2


async def test_the_slowest_reader_of_a_published_stream_holds_its_writer_back(lab: PackedLab) -> None:
    await publish(lab, 5)
    for group in ("one", "other"):
        await lab.redis("XGROUP", "CREATE", published(lab), group, "0")
    await lab.redis("XACK", published(lab), "one", *await read(lab, "one", 5))
    await lab.redis("XACK", published(lab), "other", *await read(lab, "other", 2))

    state = await read_state(lab.client, lab.graph)

    assert state.backlog[published(lab)] == 3
    assert room(state, lab.graph, "add", {}) == 10_000 - 3
