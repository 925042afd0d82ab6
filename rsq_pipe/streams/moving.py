"""Moving: transfers positions in streams, and all that a stage has, to another name; each in one script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from rsq_pipe.errors import GroupLostError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import RawEntry, range_reply, read_reply
from rsq_pipe.streams.link import Command, checked
from rsq_pipe.streams.script import Script

STEP = 50
"""How many entries `requeue` reads at once: each may be a pack."""

_MOVER = "plan"
"""The consumer that holds entries during the move."""

_HAND_OVER = Script("hand_over")
_REQUEUE = Script("requeue")
_RENAME = Script("rename")
_EMPTY = Script("empty")


async def hand_over(client: StreamClient, stream: str, table: str, group: str, heirs: Sequence[str]) -> bool:
    """
    Let other groups begin at the position of one group, with its pending entries, and delete that one.

    Args:
        stream: The stream's key.
        table: The key of the hash that marks the groups that were created.
        group: The group to delete.
        heirs: The other groups; with none, a group that holds nothing is just deleted.

    Returns:
        False, with nothing done, if it holds entries and there is no heir.

    Delivery: entries delivered and not acknowledged are pending for each heir, under the same consumers. The
    count of the records that the group has settled is passed on too.
    Cancellation: done or not; calling again is safe.
    Redis: hand_over.lua.
    """
    return bool(await client.channel.run(_HAND_OVER, [stream, table], [group, *heirs]) != -1)


async def requeue(
    client: StreamClient,
    stream: str,
    group: str,
    target: str,
    *,
    count: tuple[str, str],
    singles: Callable[[RawEntry], Sequence[RawEntry]],
) -> int:
    """
    Move all unacknowledged entries of a group to another stream.

    Args:
        count: The key of a hash, and its field that counts the records the group has settled.
        singles: Splits a pack: the target holds one record per entry.

    Returns:
        How many records were moved.

    Delivery: an entry is acknowledged in the step that writes its records to the target.
    Cancellation: between two entries; calling again continues.
    Redis: XPENDING and XRANGE for pending entries, then XREADGROUP; requeue.lua for each entry.
    """
    moved = 0
    # A group that no longer exists has been moved by another run.
    with suppress(GroupLostError):
        for read in (_pending, _undelivered):
            while entries := await read(client, stream, group):
                for entry in entries:
                    args: list[str | bytes | int] = [group, entry.id, count[1], entry.records]
                    for single in singles(entry):
                        args += [len(single.fields), *single.fields]
                    moved += int(await client.channel.run(_REQUEUE, [stream, target, count[0]], args))
    return moved


async def _pending(client: StreamClient, stream: str, group: str) -> list[RawEntry]:
    """Read the entries pending for a group, and acknowledge those that have been deleted."""
    while True:
        ids = [entry.id for entry in await client.pending_range(stream, group, count=STEP)]
        commands: list[Command] = [["XRANGE", stream, entry_id, entry_id] for entry_id in ids]
        replies = await client.channel.exchange(commands, key=stream) if commands else []
        found = [
            entry
            for reply in replies
            for entry in range_reply(stream, checked(reply, client.channel.address))
        ]
        deleted = set(ids) - {entry.id for entry in found}
        if deleted:
            await client.channel.execute("XACK", stream, group, *sorted(deleted), key=stream)
        if found or not ids:
            return found


async def _undelivered(client: StreamClient, stream: str, group: str) -> list[RawEntry]:
    reply = await client.channel.execute(
        *("XREADGROUP", "GROUP", group, _MOVER, "COUNT", STEP, "STREAMS", stream, ">"), key=stream
    )
    return read_reply(reply).entries


async def rename(
    client: StreamClient,
    table: str,
    old: str,
    new: str,
    *,
    keys: Sequence[tuple[str, str]],
    streams: Sequence[str],
    fields: Sequence[tuple[str, str]],
    values: Mapping[str, str | bytes],
) -> None:
    """
    Give a stage a new name.

    Args:
        table: The key of the pipeline's hash.
        old, new: The names; also of its groups.
        keys: Old key -> new key.
        streams: The streams it reads, by their new names.
        fields: Old -> new name of the hash's fields.
        values: Fields of the hash that are set, and their values.

    Raises:
        SettleError: A new key or field already exists; nothing was done.

    Cancellation: done or not; calling again is safe.
    Redis: rename.lua, all in one step.
    """
    args: list[str | bytes | int] = [old, new, len(keys), len(values)]
    args += [word for pair in values.items() for word in pair]
    args += [name for pair in fields for name in pair]
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
    Delete what a stage holds.

    Args:
        table: The key of the pipeline's hash.
        group: The group's name.
        streams: What it reads, each with the last id to remove.
        keys: Keys that are deleted.
        fields: Fields of the hash that are deleted.

    Cancellation: done or not; calling again is safe.
    Redis: empty.lua, all in one step.
    """
    names, ids = [stream for stream, _ in streams], [last for _, last in streams]
    await client.channel.run(_EMPTY, [table, *names, *keys], [group, len(streams), *ids, *fields])
