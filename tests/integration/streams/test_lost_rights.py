"""A script of a user who lost a right writes nothing: what it wrote before the refused command would stay."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgpack
import pytest

from rsq_pipe.errors import SettleError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.moving import requeue
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.removal import Move, Removal
from rsq_pipe.streams.script import PROMOTE, SINK_WRITE
from tests.support.consumers import GROUP, numbers_in
from tests.support.server import StreamServer


@pytest.fixture
async def admin(own_server: StreamServer) -> AsyncIterator[StreamClient]:
    async with StreamClient.from_url(own_server.url) as client:
        yield client


@pytest.fixture
async def worker(own_server: StreamServer, admin: StreamClient) -> AsyncIterator[StreamClient]:
    """A user that may do everything, until a test revokes a right."""
    await admin.channel.execute("ACL", "SETUSER", "worker", "on", ">pw", "~*", "+@all", key="")
    async with StreamClient.from_url(f"redis://worker:pw@127.0.0.1:{own_server.port}") as client:
        yield client


@pytest.fixture
async def stream(admin: StreamClient, name: str) -> str:
    """Three entries, which nobody has read, of a group."""
    producer = StreamProducer(admin, f"{{{name}}}:in")
    await admin.create_group(producer.stream, GROUP)
    await producer.push_many([{"n": n} for n in range(3)])
    return producer.stream


async def let(admin: StreamClient, right: str) -> None:
    """Grant or revoke a right of the worker."""
    await admin.channel.execute("ACL", "SETUSER", "worker", right, key="")


def alone(entry: RawEntry) -> list[RawEntry]:
    return [entry]


@pytest.mark.parametrize("right", ["hincrby", "xack"])
async def test_entries_are_requeued_once_by_a_user_who_lost_a_right_and_got_it_back(
    admin: StreamClient, worker: StreamClient, stream: str, name: str, right: str
) -> None:
    target, table = f"{{{name}}}:out", f"{{{name}}}:counts"

    await let(admin, f"-{right}")
    with pytest.raises(SettleError, match=f"'{right}'"):
        await requeue(worker, stream, GROUP, target, count=(table, "moved"), singles=alone)
    assert await admin.stream_len(target) == 0
    await let(admin, f"+{right}")
    await requeue(worker, stream, GROUP, target, count=(table, "moved"), singles=alone)

    assert await numbers_in(admin, target) == [0, 1, 2]


@pytest.mark.parametrize("right", ["xdel", "hincrby"])
async def test_dead_letters_are_replayed_once_by_a_user_who_lost_a_right_and_got_it_back(
    admin: StreamClient, worker: StreamClient, stream: str, name: str, right: str
) -> None:
    target = f"{{{name}}}:out"
    moves = await moves_of(admin, stream)
    removal = Removal(worker, stream, f"{{{name}}}:counts")

    await let(admin, f"-{right}")
    with pytest.raises(SettleError, match=f"'{right}'"):
        await removal.move(moves, target, counter="replayed")
    assert (await admin.stream_len(target), await admin.stream_len(stream)) == (0, 3)
    await let(admin, f"+{right}")
    moved = await removal.move(moves, target, counter="replayed")

    assert moved.removed == 3
    assert await numbers_in(admin, target) == [0, 1, 2]


async def test_retries_are_promoted_once_for_a_user_who_lost_a_right_and_got_it_back(
    admin: StreamClient, worker: StreamClient, name: str
) -> None:
    retries, again = f"{{{name}}}:retry", f"{{{name}}}:again"
    for number in range(3):
        member = msgpack.packb([f"{number}-0", "data", f'{{"n":{number}}}'])
        await admin.channel.execute("ZADD", retries, number, member, key=retries)

    await let(admin, "-zrem")
    with pytest.raises(SettleError, match="'zrem'"):
        await worker.channel.run(PROMOTE, [retries, again], [10])
    assert await admin.stream_len(again) == 0
    await let(admin, "+zrem")
    await worker.channel.run(PROMOTE, [retries, again], [10])

    assert await numbers_in(admin, again) == [0, 1, 2]


async def test_records_are_pushed_once_by_a_user_who_lost_a_right_and_got_it_back(
    admin: StreamClient, worker: StreamClient, name: str
) -> None:
    producer = StreamProducer(worker, f"{{{name}}}:in")

    await let(admin, "-set")
    with pytest.raises(SettleError, match="'set'"):
        await producer.push_many([{"n": n} for n in range(3)])
    assert await admin.stream_len(producer.stream) == 0
    await let(admin, "+set")
    await producer.push_many([{"n": n} for n in range(3)])

    assert await numbers_in(admin, producer.stream) == [0, 1, 2]


@pytest.mark.parametrize("right", ["hset", "ltrim"])
async def test_a_sink_on_the_server_writes_once_for_a_user_who_lost_a_right_and_got_it_back(
    admin: StreamClient, worker: StreamClient, name: str, right: str
) -> None:
    ledger, target = f"{{{name}}}:ledger", f"{{{name}}}:list"
    await admin.channel.execute("HSET", ledger, "epoch", "1", "seq", "0", key=ledger)
    args = ["1", "1", "settled", "", "", "list", "2", "2", "RPUSH", "a", "b", "2", "2", "LTRIM", "-9", "-1"]

    await let(admin, f"-{right}")
    with pytest.raises(SettleError, match=f"'{right}'"):
        await worker.channel.run(SINK_WRITE, [ledger, target], args)
    await let(admin, f"+{right}")
    await worker.channel.run(SINK_WRITE, [ledger, target], args)

    assert await admin.channel.execute("LRANGE", target, 0, -1, key=target) == [b"a", b"b"]


async def moves_of(client: StreamClient, stream: str) -> list[Move]:
    reply = await client.channel.execute("XRANGE", stream, "-", "+", key=stream)
    return [Move(entry_id.decode(), fields) for entry_id, fields in reply]
