"""Snapshot: groups, sets and lengths of several keys at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from redis.exceptions import ResponseError

from rsq_pipe.errors import SettleError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import id_number
from rsq_pipe.streams.link import Command, checked
from rsq_pipe.streams.redelivery import START
from rsq_pipe.streams.stats import GroupInfo, group_info


class Snapshot(Struct, frozen=True):
    """
    Hold the values read.

    Args:
        groups: Stream -> group name -> group; a stream that does not exist has none.
        newest: Stream -> id of its newest entry, `0-0` if it is empty; absent if the server's lag is enough
            to know.
        sets: Sorted set -> members.
        lengths: Stream -> entries.
        table: Those of the requested fields of the hash that exist.
        hashes: Hash -> all of its fields.
    """

    groups: Mapping[str, Mapping[str, GroupInfo]]
    newest: Mapping[str, str]
    sets: Mapping[str, int]
    lengths: Mapping[str, int]
    table: Mapping[str, str]
    hashes: Mapping[str, Mapping[str, str]]

    def undelivered(self, stream: str, group: str) -> bool:
        """Return whether a group has undelivered entries, even if the server cannot count them."""
        info = self.groups[stream][group]
        newest = self.newest.get(stream)
        if newest is None or info.lag == 0:
            return info.lag != 0
        return id_number(newest) > id_number(info.last_delivered_id)


async def take(
    client: StreamClient,
    *,
    streams: Sequence[str],
    sets: Sequence[str],
    lengths: Sequence[str],
    table: str,
    fields: Sequence[str],
    hashes: Sequence[str] = (),
) -> Snapshot:
    """
    Take a snapshot of keys that are all in one slot.

    Redis: MULTI of XINFO GROUPS, ZCARD, XLEN, HGETALL and HMGET; XREVRANGE if a lag is unknown, or is all
        that a group has to do: where a slot has moved, Redis 7.0 counts entries that were delivered.
    """
    commands: list[Command] = [["XINFO", "GROUPS", key] for key in streams]
    commands += [["ZCARD", key] for key in sets]
    commands += [["XLEN", key] for key in lengths]
    commands += [["HGETALL", key] for key in hashes]
    commands.append(["HMGET", table, *fields])
    replies = await _transaction(client, commands, key=table)
    found = [_groups(reply, client.channel.address) for reply in replies[: len(streams)]]
    # EXEC continues after a command that fails: its error is among the replies.
    replies[len(streams) :] = [checked(reply, client.channel.address) for reply in replies[len(streams) :]]
    groups = dict(zip(streams, found, strict=True))
    at = len(streams)
    members = dict(zip(sets, replies[at : at + len(sets)], strict=True))
    at += len(sets)
    entries = dict(zip(lengths, replies[at : at + len(lengths)], strict=True))
    at += len(lengths)
    whole = dict(zip(hashes, map(_pairs, replies[at : at + len(hashes)]), strict=True))
    values = {
        name: value.decode() for name, value in zip(fields, replies[-1], strict=True) if value is not None
    }
    unsure = [key for key, group in groups.items() if any(map(_is_unsure, group.values()))]
    return Snapshot(groups, await _newest(client, unsure, key=table), members, entries, values, whole)


async def _transaction(client: StreamClient, commands: Sequence[Command], *, key: str) -> list[Any]:
    replies = await client.channel.transaction(commands, key=key)
    if isinstance(replies[-1], ResponseError):
        _refused(commands, replies[1:-1], client.channel.address)
    result: list[Any] = checked(replies[-1], client.channel.address)
    return result


def _refused(commands: Sequence[Command], queued: Sequence[Any], address: str) -> None:
    """Raise the error of a command refused while it was queued: EXEC only says that there was one."""
    for command, reply in zip(commands, queued, strict=True):
        if not isinstance(reply, ResponseError):
            continue
        key = command[2] if command[0] == "XINFO" else command[1]
        if "access a key" in str(reply):
            raise SettleError(
                f"this user may not use the key {key!r} on server {address}: {reply}; give it the key's "
                "pattern with ACL SETUSER; `rsq-pipe doctor --redis URL` says what a pipeline needs",
                reply=str(reply),
            ) from reply
        checked(reply, address)


async def _newest(client: StreamClient, streams: Sequence[str], *, key: str) -> dict[str, str]:
    if not streams:
        return {}
    commands: list[Command] = [["XREVRANGE", stream, "+", "-", "COUNT", 1] for stream in streams]
    replies = await _transaction(client, commands, key=key)
    return {
        stream: reply[0][0].decode() if reply else START
        for stream, reply in zip(streams, replies, strict=True)
    }


def _is_unsure(group: GroupInfo) -> bool:
    """Whether it matters that a group's lag is unknown, or may be wrong."""
    return group.lag is None or (group.lag > 0 and not group.pending)


def _groups(reply: Any, address: str) -> dict[str, GroupInfo]:
    if isinstance(reply, ResponseError) and "no such key" in str(reply):
        return {}
    return {info.name: info for info in map(group_info, checked(reply, address))}


def _pairs(flat: Sequence[bytes]) -> dict[str, str]:
    texts = [item.decode() for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
