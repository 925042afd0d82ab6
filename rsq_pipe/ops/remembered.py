"""Remembered: the state of a stage, read without changing it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct, field

from rsq_pipe.engine.encoding.codecs import serializer
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.model.folds import canonical
from rsq_pipe.model.state import EVICTED, KEYS, VERSION
from rsq_pipe.model.waiting import read
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command, checked
from rsq_pipe.verbs.members import member_of
from rsq_pipe.verbs.windows.results import Results
from rsq_pipe.verbs.windows.window_state import is_group

Description: TypeAlias = Callable[[str, bytes, bytes], Any]
"""Converts a bucket's name, a field and its value to the shown value."""


class Bucket(Struct, frozen=True):
    """
    Describe a part of a state.

    Args:
        name: Its name.
        keys: How many keys it holds.
        due: When it is due, seconds since 1970; None for never.
    """

    name: str
    keys: int
    due: float | None


class Found(Struct, frozen=True):
    """
    Describe what a bucket holds for one key.

    Args:
        bucket: The bucket.
        due: When it is due, seconds since 1970; None for never.
        value: The value; null if the state holds only the key.
    """

    bucket: str
    due: float | None
    value: Any = None


class Remembered(Struct, frozen=True):
    """
    Describe a stage's state at one moment.

    Args:
        stage, verb: The stage and its verb.
        keys: Number of keys it holds.
        max_keys: Maximum number of keys.
        evicted: How many were evicted to make room.
        buckets: Its parts, in the order in which they are due.
        scalars: Its single values.
        key: The requested key; None for none.
        found: The values stored for it.
    """

    stage: str
    verb: str
    keys: int
    max_keys: int
    evicted: int
    buckets: tuple[Bucket, ...]
    scalars: Mapping[str, str] = field(default_factory=dict)
    key: Any = None
    found: tuple[Found, ...] = ()


async def read_remembered(
    client: StreamClient, graph: Graph, stage: Stage, key: str | None = None
) -> Remembered:
    """
    Read the state of a stage.

    Args:
        client: The server.
        graph: The pipeline.
        stage: A stage with state.
        key: A key, as JSON or as plain text, to look up.

    Redis: HGETALL, ZRANGE; TYPE, SCARD, HLEN, and SMISMEMBER or HMGET for each bucket.
    """
    keys = Keyspace(graph.pipeline)
    at, address = keys.state(stage), client.channel.address
    asked: list[Command] = [["HGETALL", at], ["ZRANGE", keys.timers(stage), 0, -1, "WITHSCORES"]]
    flat, timers = [checked(reply, address) for reply in await client.channel.exchange(asked, key=at)]
    texts = [word.decode(errors="backslashreplace") for word in flat]
    scalars = dict(zip(texts[::2], texts[1::2], strict=True))
    due = {
        name.decode(): None if time == b"inf" else float(time) / 1000
        for name, time in zip(timers[::2], timers[1::2], strict=True)
        if not is_group(name)
    }
    scalars.pop(VERSION, None)
    sizes = await _sizes(client, at, list(due))
    value = None if key is None else _parsed(key)
    return Remembered(
        stage.name,
        stage.verb,
        keys=int(scalars.pop(KEYS, 0)),
        max_keys=stage.options.max_keys,
        evicted=int(scalars.pop(EVICTED, 0)),
        buckets=tuple(Bucket(name, sizes[name], time) for name, time in due.items()),
        scalars=scalars,
        key=value,
        found=() if key is None else await _found(client, graph, stage, value, due),
    )


async def _sizes(client: StreamClient, at: str, buckets: Sequence[str]) -> dict[str, int]:
    types = await _each(client, at, buckets, lambda key: ["TYPE", key])
    counting = {b"set": "SCARD", b"hash": "HLEN"}
    held = [name for name, kind in zip(buckets, types, strict=True) if kind in counting]
    kinds = dict(zip(buckets, types, strict=True))
    commands: list[Command] = [[counting[kinds[name]], f"{at}:{name}"] for name in held]
    replies = await client.channel.exchange(commands, key=at) if commands else []
    found = [int(checked(reply, client.channel.address)) for reply in replies]
    return dict.fromkeys(buckets, 0) | dict(zip(held, found, strict=True))


async def _found(
    client: StreamClient, graph: Graph, stage: Stage, value: Any, due: Mapping[str, float | None]
) -> tuple[Found, ...]:
    at, buckets = Keyspace(graph.pipeline).state(stage), list(due)
    if stage.verb == "dedupe":
        member = member_of(value)
        replies = await _each(client, at, buckets, lambda key: ["SMISMEMBER", key, member])
        return tuple(
            Found(name, due[name]) for name, (is_there,) in zip(buckets, replies, strict=True) if is_there
        )
    fields, described = _looks(graph, stage, value)
    replies = await _each(client, at, buckets, lambda key: ["HMGET", key, *fields])
    return tuple(
        Found(name, due[name], described(name, one, raw))
        for name, values in zip(buckets, replies, strict=True)
        for one, raw in zip(fields, values, strict=True)
        if raw is not None
    )


def _looks(graph: Graph, stage: Stage, value: Any) -> tuple[list[bytes], Description]:
    """Return the fields that may hold a key, and how to show their values."""
    values = value if isinstance(value, list) else [value]
    if stage.verb == "aggregate":
        group = msgspec.json.encode([canonical(one) if type(one) is float else one for one in values])
        return [group], described_by(graph, stage)
    key = member_of(value)
    return [b"L" + key, b"R" + key], described_by(graph, stage)


def described_by(graph: Graph, stage: Stage) -> Description:
    """Return how to show a field of a bucket: a result so far, or the waiting records."""
    if stage.verb == "aggregate":
        return Results(stage.name, stage.options).described
    decode = serializer(graph).decode

    def waiting(_: str, name: bytes, raw: bytes) -> Any:
        side = "left" if name[:1] == b"L" else "right"
        records = [{"rid": one.rid, "matched": one.met, "record": decode(one.raw)} for one in read(raw)]
        return {"side": side, "records": records}

    return waiting


async def _each(
    client: StreamClient, at: str, buckets: Sequence[str], command: Callable[[str], Command]
) -> list[Any]:
    """Send a command for every bucket."""
    commands = [command(f"{at}:{name}") for name in buckets]
    replies = await client.channel.exchange(commands, key=at) if commands else []
    return [checked(reply, client.channel.address) for reply in replies]


def _parsed(text: str) -> Any:
    """Parse a key as JSON, otherwise as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
