"""lookup in Redis: hashes and JSON, in one write a batch, also from all slots of a cluster."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.errors import EvaluationError, TableError
from rsq_pipe.model.outcome import Failure
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command
from tests.integration.verbs.given import looked, sent, unavailable, verb_of
from tests.support.cluster import Cluster
from tests.support.server import StreamServer, binaries


@pytest.fixture
async def client(server: StreamServer) -> AsyncIterator[StreamClient]:
    async with StreamClient.from_url(server.url) as client:
        yield client


async def put(client: StreamClient, key: str, value: Any) -> None:
    words: Command = (
        ["HSET", key, *(part for pair in value.items() for part in pair)]
        if isinstance(value, dict)
        else ["SET", key, value]
    )
    await client.channel.execute(*words, key=key)


async def calls(client: StreamClient, command: str) -> int:
    """How often the server has run a command."""
    text = (await client.channel.execute("INFO", "commandstats", key="x")).decode()
    line = next((line for line in text.split() if line.startswith(f"cmdstat_{command}:")), "calls=0")
    return int(line.split("calls=")[1].split(",")[0])


async def test_hashes_are_rows_of_texts(client: StreamClient, name: str, tmp_path: Path) -> None:
    await put(client, f"{name}:7", {"name": "Ada", "land": "FR"})
    await put(client, f"{name}:8", {"name": "Bob"})
    verb = verb_of(
        tmp_path, f'table: {{redis: "{name}:{{id}}"}}, key: cid, fields: {{name: who, land: land}}', client
    )

    out = await looked(verb, {"cid": 7}, {"cid": "8"}, {"cid": 9}, {"cid": 7.0}, {"cid": None})

    assert sent(out) == [
        {"cid": 7, "who": "Ada", "land": "FR"},
        {"cid": "8", "who": "Bob", "land": None},
        {"cid": 9, "who": None, "land": None},
        {"cid": 7.0, "who": "Ada", "land": "FR"},
        {"cid": None, "who": None, "land": None},
    ]
    assert out.unknown == {"9": [2], "null": [4]}


@pytest.mark.parametrize("value", ["", ", value: json"])
async def test_texts_are_rows_of_json(client: StreamClient, name: str, tmp_path: Path, value: str) -> None:
    await put(client, f"{name}:FR:1", json.dumps({"n": 1, "tags": ["a"]}))
    await put(client, f"{name}:FR:2", "[1]")
    await put(client, f"{name}:FR:3", "{half")
    verb = verb_of(
        tmp_path, f'table: {{redis: {{key: "{name}:{{l}}:{{i}}"{value}}}}}, key: [l, i], as: row', client
    )

    records = [{"l": "FR", "i": i} for i in range(1, 5)]
    await looked(verb, *records)
    out = await looked(verb, *records)  # once more, as it is known by now what stands there

    assert sent(out) == [
        {"l": "FR", "i": 1, "row": {"n": 1, "tags": ["a"]}},
        {"l": "FR", "i": 4, "row": None},
    ]
    errors = [one.error for one in out.failed.values() if isinstance(one, Failure) and not one.retryable]
    assert [type(error) for error in errors] == [EvaluationError] * 2
    assert f"key '{name}:FR:2': not a JSON object but an array" in str(errors[0])


async def test_hashes_and_texts_may_stand_side_by_side_and_a_list_is_an_error(
    client: StreamClient, name: str, tmp_path: Path
) -> None:
    await put(client, f"{name}:1", {"n": "1"})
    await put(client, f"{name}:2", '{"n": 2}')
    await client.channel.execute("RPUSH", f"{name}:3", "x", key=name)
    verb = verb_of(tmp_path, f'table: {{redis: "{name}:{{id}}"}}, key: id, fields: [n]', client)

    out = await looked(verb, {"id": 1}, {"id": 2}, {"id": 3})

    assert [record["n"] for record in sent(out)] == ["1", 2]
    (failure,) = out.failed.values()
    assert isinstance(failure, Failure)
    assert f"key '{name}:3' holds neither a hash nor a text" in str(failure.error)


async def test_answers_are_remembered_also_that_there_is_none(
    own_server: StreamServer, name: str, tmp_path: Path
) -> None:
    async with StreamClient.from_url(own_server.url) as client:
        await put(client, f"{name}:1", {"n": "1"})
        kept = verb_of(tmp_path, f'table: {{redis: "{name}:{{id}}"}}, key: id, fields: [n]', client)
        never = verb_of(
            tmp_path, f'table: {{redis: "{name}:{{id}}"}}, key: id, fields: [n], cache: {{size: 0}}', client
        )

        for _ in range(3):
            await looked(kept, {"id": 1}, {"id": 2}, {"id": 1})
        assert await calls(client, "hgetall") == 2
        await looked(never, {"id": 1}, {"id": 2}, {"id": 1})
        out = await looked(never, {"id": 1}, {"id": 2}, {"id": 1})
        assert await calls(client, "hgetall") == 2 + 2 * 2

        assert out.unknown == {"2": [1]}, "each time"


async def test_a_server_that_is_away_blames_no_record(
    own_server: StreamServer, name: str, tmp_path: Path
) -> None:
    async with StreamClient.from_url(own_server.url) as client:
        await put(client, f"{name}:1", {"n": "1"})
        verb = verb_of(tmp_path, f'table: {{redis: "{name}:{{id}}"}}, key: id, fields: [n]', client)
        await looked(verb, {"id": 1})
        own_server.kill()

        out = await looked(verb, {"id": 1}, {"id": 2}, {"id": 3})

        assert sent(out) == [{"id": 1, "n": "1"}], "what is remembered goes on"
        assert f"stage 'enrich': its table cannot be read now: redis {name}:{{id}}: server" in unavailable(
            out
        )
        own_server.start()
        assert len(sent(await looked(verb, {"id": 2}))) == 1


async def test_another_server_is_asked_by_its_url_and_its_password_is_not_told(
    own_server: StreamServer, name: str, tmp_path: Path
) -> None:
    async with StreamClient.from_url(own_server.url) as client:
        await put(client, f"{name}:1", {"n": "1"})
        await client.channel.execute("ACL", "SETUSER", "u", "on", ">hunter2", "%R~*", "+hgetall", key="x")
    lookup = (
        f'table: {{redis: {{key: "{name}:{{id}}", url: "${{secret:URL}}", value: hash}}}}, key: id, as: row'
    )
    port = own_server.tcp_url.removeprefix("redis://")
    verb = verb_of(tmp_path, lookup, environ={"URL": f"redis://u:hunter2@{port}"})
    wrong = verb_of(tmp_path, lookup, environ={"URL": f"redis://u:hunter3@{port}"})

    assert sent(await looked(verb, {"id": 1})) == [{"id": 1, "row": {"n": "1"}}]
    with pytest.raises(TableError) as raised:
        await looked(wrong, {"id": 1})
    await verb.close()
    await wrong.close()

    assert "cannot use its table" in str(raised.value)
    assert "hunter" not in str(raised.value)


@pytest.mark.parametrize("binary", binaries())
async def test_keys_of_a_cluster_may_stand_in_any_slot(binary: str, name: str, tmp_path: Path) -> None:
    async with Cluster(binaries()[binary]) as cluster, StreamClient.from_url(cluster.url) as client:
        for n in range(50):
            await put(client, f"{name}:{n}", {"n": str(n)})
        assert len({await cluster.owner(f"{name}:{n}") for n in range(50)}) == 3
        verb = verb_of(
            tmp_path, f'table: {{redis: "{name}:{{id}}"}}, key: id, fields: [n], cache: {{size: 0}}', client
        )

        out = await looked(verb, *({"id": n} for n in range(60)))
        assert [record["n"] for record in sent(out)] == [*map(str, range(50)), *[None] * 10]

        moved = f"{name}:1"
        await cluster.move(moved, to=(await cluster.owner(moved) + 1) % 3)
        out = await looked(verb, *({"id": n} for n in range(50)))
        assert [record["n"] for record in sent(out)] == [*map(str, range(50))]
