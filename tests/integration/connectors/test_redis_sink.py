"""What the sink `redis` writes, on the pipeline's own server and on another, and what it does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rsq_pipe.errors import SinkError
from rsq_pipe.streams.client import StreamClient
from tests.integration.engine.lab import Lab
from tests.support.cluster import Cluster
from tests.support.server import StreamServer, binaries
from tests.support.signals import wait_until

FIELDS = (
    "{id: n, customer: \"'c' + str(n % 2)\", total: n * 1.5, "
    "inner: \"{'n': n}\", gone: None if n == 1 else True}"
)


@pytest.fixture(params=["own", "other"])
async def redis(request: pytest.FixtureRequest, lab: Lab, other_redis: StreamServer) -> AsyncIterator[Any]:
    """Ask the server that the sink writes to, the pipeline's own or another; `url` names it in the sink."""
    url = lab.url if request.param == "own" else other_redis.url
    async with StreamClient.from_url(url) as client:

        async def ask(*command: str | int) -> Any:
            found = await client.channel.execute(*command, key="")
            return [one and one.decode() for one in found] if isinstance(found, list) else found

        ask.url = "" if request.param == "own" else f", url: '{url}'"  # type: ignore[attr-defined]
        yield ask


def spec(lab: Lab, redis: Any, settings: str, count: int = 4, fields: str = FIELDS) -> None:
    lab.spec(f"""
        made: {{source: {{type: generate, count: {count}, fields: {fields}}}}}
        out: {{sink: {{type: redis, {settings}{redis.url}}}}}
    """)


async def test_a_hash_is_one_record_and_takes_the_place_of_the_one_before(
    lab: Lab, redis: Any, name: str
) -> None:
    spec(lab, redis, f"kind: hash, key: '{name}:{{customer}}', ttl: 1h")

    summary = await lab.run()

    found = await redis("HGETALL", f"{name}:c1")
    assert dict(zip(found[::2], found[1::2], strict=True)) == {
        "id": "3",
        "customer": "c1",
        "total": "4.5",
        "inner": '{"n":3}',
        "gone": "true",
    }
    assert 3_500 < await redis("TTL", f"{name}:c1") <= 3_600
    assert summary.stages["out"].emitted == 4


async def test_a_hash_keeps_what_the_record_lacks_where_it_is_to_be_merged(
    lab: Lab, redis: Any, name: str
) -> None:
    await redis("HSET", f"{name}:1", "kept", "x", "gone", "y")
    spec(lab, redis, f"kind: hash, key: '{name}:{{id}}', merge: true")

    await lab.run()

    found = await redis("HGETALL", f"{name}:1")
    assert (found[:2], "gone" in found[::2]) == (["kept", "x"], False)


async def test_a_string_holds_the_record_as_json(lab: Lab, redis: Any, name: str) -> None:
    spec(
        lab,
        redis,
        f"kind: string, key: '{name}:{{inner.n}}', rid: true",
        fields="{id: n, inner: \"{'n': n}\"}",
    )

    await lab.run()

    assert json.loads(await redis("GET", f"{name}:2")) == {"rid": "made:2", "id": 2, "inner": {"n": 2}}


async def test_lists_sets_and_sorted_sets_get_what_the_expression_gives(
    lab: Lab, redis: Any, name: str
) -> None:
    lab.spec(f"""
        made: {{source: {{type: generate, count: 100, fields: {FIELDS}}}}}
        a: {{from: made, sink: {{type: redis, kind: list, key: {name}-a, value: id, max: 3{redis.url}}}}}
        b: {{from: made, sink: {{type: redis, kind: set, key: {name}-b, value: customer{redis.url}}}}}
        c:
          from: made
          sink: {{type: redis, kind: sorted_set, key: {name}-c, value: id, score: 0 - total{redis.url}}}
    """)

    await lab.run()

    assert await redis("LRANGE", f"{name}-a", 0, -1) == ["97", "98", "99"]
    assert sorted(await redis("SMEMBERS", f"{name}-b")) == ["c0", "c1"]
    assert await redis("ZRANGE", f"{name}-c", 0, 1, "WITHSCORES") == ["99", "-148.5", "98", "-147"]


async def test_each_record_is_published_to_whoever_listens(
    lab: Lab, redis: Any, name: str, other_redis: StreamServer, server: StreamServer
) -> None:
    spec(lab, redis, f"kind: pubsub, key: '{name}:{{customer}}', value: id")
    heard: list[str] = []
    port = (other_redis if redis.url else server).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"PSUBSCRIBE {name}:*\r\n".encode())
    assert b"psubscribe" in await reader.read(100)

    await lab.run()

    async def listened() -> bool:
        heard.append((await reader.read(4096)).decode())
        return "".join(heard).count("pmessage") == 4

    await wait_until(listened, what="all four are heard")
    writer.close()


async def test_what_cannot_be_written_is_a_dead_letter_and_the_others_are_written(
    lab: Lab, redis: Any, name: str
) -> None:
    await redis("SET", f"{name}:1", "no hash")
    spec(lab, redis, f"kind: hash, key: '{name}:{{id}}'", fields='{id: "n if n != 2 else None"}')

    summary = await lab.run()

    letters = await lab.redis("XRANGE", lab.key("out:dlq"), "-", "+")
    why = [dict(zip(one[::2], one[1::2], strict=True))[b"rsq-dlq-error"].decode() for _, one in letters]
    assert sorted(why) == [
        "EncodeError: its field 'id', a part of `key`, has no value",
        f"EncodeError: the key '{name}:1' holds no hash",
    ]
    assert await redis("GET", f"{name}:1") == b"no hash"
    assert await redis("HGETALL", f"{name}:3") == ["id", "3"]
    assert (summary.stages["out"].emitted, summary.stages["out"].dead) == (2, 2)


async def test_json_is_written_where_the_server_has_it_and_else_ends_the_run_with_what_else_there_is(
    lab: Lab, redis: Any, name: str
) -> None:
    has_json = await redis("COMMAND", "INFO", "JSON.SET") != [None]
    spec(lab, redis, f"kind: json, key: '{name}:{{id}}'")
    if has_json:
        await lab.run()
        assert json.loads(await redis("JSON.GET", f"{name}:1"))["id"] == 1
        return

    with pytest.raises(SinkError, match="the server has no JSON: use Redis 8, or load the module"):
        await lab.run()


async def test_starting_over_does_with_a_list_what_it_is_told(lab: Lab, redis: Any, name: str) -> None:
    spec(lab, redis, f"kind: list, key: {name}, value: id")
    await lab.run()
    with pytest.raises(SinkError, match="it holds something, and --fresh would write all records again"):
        await lab.run(fresh=True)

    spec(lab, redis, f"kind: list, key: {name}, value: id, fresh: empty")
    await lab.run(fresh=True)
    assert await redis("LRANGE", name, 0, -1) == ["0", "1", "2", "3"]

    spec(lab, redis, f"kind: list, key: {name}, value: id, fresh: keep")
    await lab.run(fresh=True)
    assert await redis("LLEN", name) == 8


async def test_in_a_cluster_keys_of_one_slot_are_written_and_others_end_the_run_with_what_to_do(
    lab: Lab, name: str
) -> None:
    stages = """
        made: {source: {type: generate, count: 50, fields: {id: n}}}
        out: {sink: {type: redis, kind: hash, key: "KEY:{id}", url: "URL"}}
    """
    async with Cluster(binaries()["valkey"]) as cluster:
        lab.spec(stages.replace("KEY", name).replace("URL", cluster.url))
        with pytest.raises(SinkError, match="all keys must be in one slot: give `key` a hash tag"):
            await lab.run()

        lab.spec(stages.replace("KEY", f"{{{{{name}}}}}").replace("URL", cluster.url))
        await lab.run()

        async with StreamClient.from_url(cluster.url) as client:
            key = f"{{{name}}}:49"
            assert await client.channel.execute("HGETALL", key, key=key) == [b"id", b"49"]
