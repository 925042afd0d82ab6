"""Moving: gives places in streams, and all that a stage has, to another name; each step is one script."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import Script

STEP = 100
"""Entries one step of `requeue` moves: the server serves nobody else meanwhile."""

_HAND_OVER = Script("hand_over")
_REQUEUE = Script("requeue")
_RENAME = Script("rename")
_EMPTY = Script("empty")


async def hand_over(client: StreamClient, stream: str, table: str, group: str, heirs: Sequence[str]) -> bool:
    """
    Let other groups begin where one is, pending entries included, and end that one.

    Args:
        stream: The stream's key.
        table: The key of the hash that marks which groups were made.
        group: The one that ends.
        heirs: The others; none ends a group that holds nothing.

    Returns:
        False, with nothing done, where it holds something and there is no heir.

    Delivery: what was delivered and not acknowledged is pending for each heir, under the same consumers.
    Cancellation: done or not; calling again is safe.
    Redis: hand_over.lua.
    """
    return bool(await client.channel.run(_HAND_OVER, [stream, table], [group, *heirs]) != -1)


async def requeue(client: StreamClient, stream: str, group: str, target: str) -> int:
    """
    Move all that a group has not acknowledged to another stream.

    Returns:
        How many entries were moved.

    Delivery: an entry is acknowledged in the step that writes it to the target.
    Cancellation: between two steps; calling again goes on.
    Redis: requeue.lua.
    """
    moved = 0
    while step := int(await client.channel.run(_REQUEUE, [stream, target], [group, "plan", STEP])):
        moved += step
    return moved


async def rename(
    client: StreamClient,
    table: str,
    old: str,
    new: str,
    *,
    keys: Sequence[tuple[str, str]],
    streams: Sequence[str],
    fields: Sequence[tuple[str, str]],
    graph: tuple[str, bytes],
) -> None:
    """
    Give a stage another name.

    Args:
        table: The key of the pipeline's hash.
        old, new: The names; also of its groups.
        keys: Old key and new key of what is renamed.
        streams: The streams it reads, as they are called afterwards.
        fields: Old and new name of the hash's fields.
        graph: The field that holds the graph and its new value; empty leaves it.

    Raises:
        SettleError: A new key or field is there already; nothing was done.

    Cancellation: done or not; calling again is safe.
    Redis: rename.lua, all in one step.
    """
    args: list[str | bytes | int] = [old, new, len(keys), *graph, *(name for pair in fields for name in pair)]
    await client.channel.run(_RENAME, [table, *(key for pair in keys for key in pair), *streams], args)


async def empty(
    client: StreamClient,
    table: str,
    group: str,
    *,
    streams: Sequence[tuple[str, str]],
    keys: Sequence[str],
    fields: Sequence[str],
) -> None:
    """
    Take what a stage holds away.

    Args:
        table: The key of the pipeline's hash.
        group: Its name.
        streams: What it reads, each with the last id that goes.
        keys: Keys that are deleted.
        fields: Fields of the hash that are deleted.

    Cancellation: done or not; calling again is safe.
    Redis: empty.lua, all in one step.
    """
    names, ids = [stream for stream, _ in streams], [last for _, last in streams]
    await client.channel.run(_EMPTY, [table, *names, *keys], [group, len(streams), *ids, *fields])
