"""A stage's state changes in the settlement of the entries that changed it, all of it or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from rsq_pipe.errors import ServerUnavailableError, SettleError
from rsq_pipe.model.state import Fields, Now, StateChange
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.settlement import Output, Part, Settled, Settlement, StateOf
from rsq_pipe.streams.state_reading import ask
from tests.support.cluster import Cluster
from tests.support.consumers import GROUP, copied, numbers_in, pending
from tests.support.proxy import Proxy
from tests.support.server import StreamServer, binaries


@pytest.fixture
async def batch(client: StreamClient, producer: StreamProducer, stream: str) -> list[StreamMessage]:
    """Two entries that consumer `a` holds."""
    await producer.push_many([{"n": n} for n in range(2)])
    return await client.read(stream, GROUP, "a", count=2)


@pytest.fixture
async def stage(client: StreamClient, name: str) -> Stage:
    """A stage whose state holds something of every kind."""
    stage = Stage(client, name)
    change = StateChange()
    change.equals("", {"seen": None})
    change.set("", {"seen": 10, "closed": "5"})
    change.add("s1", ["a", "b", "c"])
    change.set("h1", {"f": b"1234", "g": b""})
    change.timer({"s1": 1_000, "h1": 2_000})
    assert not (await stage.settle(change)).stale
    return stage


class Stage:
    """The state of one stage, changed and looked at."""

    def __init__(self, client: StreamClient, name: str) -> None:
        self.client = client
        self.at = StateOf(f"{{{name}}}:x:state", f"{{{name}}}:x:timers", StateChange())

    async def settle(
        self, change: StateChange, *parts: Part, consumer: str = "a", client: StreamClient | None = None
    ) -> Settled:
        settlement = Settlement(list(parts), state=self.at._replace(change=change))
        return await (client or self.client).settle(settlement, group=GROUP, consumer=consumer)

    async def all(self) -> dict[str, Any]:
        """Read every key of the state."""
        found: dict[str, Any] = {"": await self._read("HGETALL", self.at.key)}
        found["timers"] = await self._read("ZRANGE", self.at.timers, 0, -1, "WITHSCORES")
        for bucket in ("s1", "s2"):
            found[bucket] = sorted(await self._read("SMEMBERS", self.at.bucket(bucket)))
        for bucket in ("h1", "h2"):
            found[bucket] = await self._read("HGETALL", self.at.bucket(bucket))
        return found

    async def _read(self, command: str, key: str, *words: str | int) -> list[str]:
        reply = await self.client.channel.execute(command, key, *words, key=key)
        return [word.decode() for word in reply]


def change(checking: Callable[[StateChange], None] = lambda change: None) -> StateChange:
    """A change that writes in every way."""
    made = StateChange()
    checking(made)
    made.set("", {"closed": "6"})
    made.set("h2", {"x": b"1"})
    made.delete("h1", ["g"])
    made.add("s2", ["d", "e"])
    made.append("h1", {"f": b"56", "new": b"7"})
    made.rise({"seen": 9, "at": 3.5})
    made.count({"ticks": 2})
    made.timer({"s2": 3_000, "h1": 2_500})
    made.timer({"s2": 2_900}, only="GT")
    made.forget(["nothing"])
    made.unlink("s1", evicted=True)
    return made


HOLDING: dict[str, Callable[[StateChange], None]] = {
    "scalars": lambda change: change.equals("", {"seen": 10, "closed": b"5", "other": None}),
    "fields": lambda change: change.equals("h1", {"f": b"1234", "g": b""}),
    "members": lambda change: change.lacks("s1", ["d", "e"]),
    "no set": lambda change: change.lacks("nothing", ["a"]),
    "lengths": lambda change: change.lengths("h1", {"f": 4, "g": 0, "other": 0}),
}
STALE: dict[str, Callable[[StateChange], None]] = {
    "another value": lambda change: change.equals("", {"seen": 11}),
    "no such field": lambda change: change.equals("", {"other": 1}),
    "there": lambda change: change.equals("h1", {"g": None}),
    "one is a member": lambda change: change.lacks("s1", ["d", "c"]),
    "longer": lambda change: change.lengths("h1", {"f": 3}),
    "not there": lambda change: change.lengths("h1", {"other": 1}),
}


@pytest.mark.parametrize("case", HOLDING)
async def test_where_the_checks_hold_all_is_written_and_the_entries_are_acknowledged(
    case: str,
    stage: Stage,
    batch: list[StreamMessage],
    stream: str,
    output: str,
) -> None:
    settled = await stage.settle(change(HOLDING[case]), *(copied(message, output) for message in batch))

    assert (len(settled.committed), settled.stale, len(settled.gone)) == (2, False, 0)
    assert await stage.all() == {
        "": [
            *("seen", "10", "closed", "6", "keys", "5", "version", "2", "at", "3.5", "ticks", "2"),
            *("evicted", "3"),
        ],
        "timers": ["h1", "2500", "s2", "3000"],
        "s1": [],
        "s2": ["d", "e"],
        "h1": ["f", "123456", "new", "7"],
        "h2": ["x", "1"],
    }
    assert await numbers_in(stage.client, output) == [0, 1]
    assert await pending(stage.client, stream) == 0


@pytest.mark.parametrize("case", STALE)
async def test_where_a_check_fails_nothing_is_written_and_nothing_acknowledged(
    case: str,
    stage: Stage,
    batch: list[StreamMessage],
    stream: str,
    output: str,
) -> None:
    before = await stage.all()

    settled = await stage.settle(change(STALE[case]), *(copied(message, output) for message in batch))

    assert (list(settled.committed), settled.stale, settled.full) == ([], True, False)
    assert await stage.all() == before
    assert await numbers_in(stage.client, output) == []
    assert await pending(stage.client, stream) == 2


async def test_an_entry_that_is_another_workers_keeps_the_whole_state_from_changing(
    stage: Stage, batch: list[StreamMessage], stream: str, output: str
) -> None:
    before = await stage.all()
    await stage.client.ack(stream, GROUP, [batch[1].id])

    settled = await stage.settle(change(), *(copied(message, output) for message in batch))

    assert (settled.gone, settled.stale) == (frozenset({(stream, batch[1].id)}), False)
    assert await stage.all() == before
    assert await numbers_in(stage.client, output) == []


async def test_more_keys_than_the_state_may_hold_are_refused_and_those_that_it_has_are_none(
    stage: Stage, batch: list[StreamMessage]
) -> None:
    def adding(*members: str, most: int, going: str = "") -> StateChange:
        made = StateChange(most=most)
        if going:
            made.unlink(going)
        made.add("s2" if going else "s1", members)
        return made

    part = Part([copied(batch[0], "x").entries[0]])
    before = await stage.all()  # 5 keys

    refused = await stage.settle(adding("a", "d", "e", most=6), part)
    assert (refused.full, refused.stale, await stage.all()) == (True, True, before)
    refused = await stage.settle(adding("d", "e", "f", "g", "h", most=6, going="s1"), part)
    assert (refused.full, await stage.all()) == (True, before)
    taken = await stage.settle(adding("a", "b", "d", most=6), part)
    assert (taken.full, len(taken.committed)) == (False, 1)
    again = Part([copied(batch[1], "x").entries[0]])
    taken = await stage.settle(adding("d", "e", "f", "g", most=6, going="s1"), again)
    assert (taken.full, (await stage.all())["s2"]) == (False, ["d", "e", "f", "g"])
    assert (await stage.all())[""][-4:] == ["keys", "6", "version", "3"]


async def test_of_two_workers_that_decide_by_one_state_one_has_to_decide_again(
    stage: Stage, batch: list[StreamMessage], producer: StreamProducer, stream: str, output: str
) -> None:
    await producer.push_many([{"n": n} for n in range(2, 4)])
    others = await stage.client.read(stream, GROUP, "b", count=2)

    def first_of_its_key() -> StateChange:
        made = StateChange()
        made.lacks("s1", ["key"])
        made.add("s1", ["key"])
        return made

    both = await asyncio.gather(
        stage.settle(first_of_its_key(), *(copied(message, output) for message in batch), consumer="a"),
        stage.settle(first_of_its_key(), *(copied(message, output) for message in others), consumer="b"),
    )

    assert sorted(settled.stale for settled in both) == [False, True]
    assert len(await numbers_in(stage.client, output)) == 2
    assert await pending(stage.client, stream) == 2


async def test_a_settlement_whose_reply_was_lost_is_sent_again_and_adds_nothing(
    stage: Stage, batch: list[StreamMessage], through_proxy: StreamClient, proxy: Proxy, output: str
) -> None:
    parts = [copied(message, output) for message in batch]
    await through_proxy.settle(Settlement(), group=GROUP, consumer="a")
    await stage.settle(_counting(0), client=through_proxy)  # the server knows the script
    proxy.drop_reply_to(b"EVALSHA")

    with pytest.raises(ServerUnavailableError):
        await stage.settle(change(), *parts, client=through_proxy)
    written = await stage.all()
    again = await stage.settle(change(), *parts, client=through_proxy)

    assert len(again.gone) == 2
    assert await stage.all() == written
    assert await numbers_in(stage.client, output) == [0, 1]


def _counting(ticks: int) -> StateChange:
    made = StateChange()
    made.equals("", {"ticks": ticks or None})
    made.count({"ticks": 1})
    return made


async def test_a_change_without_entries_is_told_from_its_repetition_by_what_it_checks(stage: Stage) -> None:
    first = await stage.settle(_counting(0))
    again = await stage.settle(_counting(0))

    assert (first.stale, again.stale) == (False, True)
    with pytest.raises(ValueError, match="repetition"):
        await stage.settle(change())


async def test_a_thousand_fields_and_members_are_checked_and_written(stage: Stage) -> None:
    many = [f"m{n}" for n in range(4_000)]
    made = StateChange()
    made.lacks("s2", many)
    made.equals("h2", dict.fromkeys(many))
    made.add("s2", many)
    made.set("h2", dict.fromkeys(many, b"v"))
    made.timer(dict.fromkeys(many, 1))
    assert not (await stage.settle(made)).stale

    found = await stage.all()
    assert (len(found["s2"]), len(found["h2"]), len(found["timers"])) == (4_000, 8_000, 8_004)
    made = StateChange()
    made.equals("h2", dict.fromkeys(many, b"v"))
    made.delete("h2", many)
    made.forget(many)
    assert not (await stage.settle(made)).stale
    found = await stage.all()
    assert (len(found["h2"]), len(found["timers"])) == (0, 4)


@pytest.mark.parametrize(("key", "kind"), [("state", "set"), ("timers", "hash"), ("state:s2", "hash")])
async def test_a_key_of_another_kind_writes_nothing(
    key: str, kind: str, client: StreamClient, batch: list[StreamMessage], stream: str, output: str, name: str
) -> None:
    stage, at = Stage(client, name), f"{{{name}}}:x:{key}"
    await client.channel.execute(*(["SADD", at, "x"] if kind == "set" else ["HSET", at, "x", 1]), key=at)

    with pytest.raises(SettleError, match=f"holds a {kind}"):
        await stage.settle(change(), *(copied(message, output) for message in batch))

    assert (await numbers_in(client, output), await pending(client, stream)) == ([], 2)


@pytest.mark.parametrize("field", ["keys", "evicted", "seen", "ticks", "version"])
async def test_a_number_that_is_none_writes_nothing(
    field: str, stage: Stage, batch: list[StreamMessage], stream: str, output: str
) -> None:
    await stage.client.channel.execute("HSET", stage.at.key, field, "many", key=stage.at.key)
    before = await stage.all()

    with pytest.raises(SettleError, match=field):
        await stage.settle(change(), *(copied(message, output) for message in batch))

    assert (await stage.all(), await pending(stage.client, stream)) == (before, 2)


@pytest.fixture(params=binaries())
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with Cluster(binaries()[request.param]) as running:
        yield running


async def test_a_cluster_settles_a_state_in_one_slot(cluster: Cluster) -> None:
    async with StreamClient.from_url(cluster.url) as client:
        stage = Stage(client, "orders")
        producer = StreamProducer(client, "{orders}:in")
        await client.create_group("{orders}:in", GROUP)
        await producer.push_many([{"n": 0}])
        (message,) = await client.read("{orders}:in", GROUP, "a")

        settled = await stage.settle(
            change(), Part(copied(message, "x").entries, [Output("{orders}:out", ["data", message.raw])])
        )

        assert (settled.stale, (await stage.all())["s2"]) == (False, ["d", "e"])
        assert await numbers_in(client, "{orders}:out") == [0]


async def test_a_server_that_serves_nobody_now_is_away_and_has_not_refused_a_question(
    own_server: StreamServer, name: str
) -> None:
    async with StreamClient.from_url(own_server.url) as client:
        # Each command is refused when it is queued, as by a cluster that lacks its majority; EXEC only says
        # that there was an error.
        await client.channel.execute("CONFIG", "SET", "replica-serve-stale-data", "no", key=name)
        await client.channel.execute("REPLICAOF", "127.0.0.1", "1", key=name)
        stage = Stage(client, name)

        with pytest.raises(ServerUnavailableError, match="Link with MASTER is down"):
            await ask(client, stage.at, [Now(), Fields(["seen"])])
