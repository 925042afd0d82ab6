"""Stats: descriptions of a stream, a group and its consumers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """Describe one delivered, unacknowledged entry; idle time in milliseconds."""

    id: str
    consumer: str
    idle_ms: int
    delivery_count: int


@dataclass(frozen=True, slots=True)
class ConsumerInfo:
    """Describe one consumer of a group; idle time in milliseconds."""

    name: str
    pending: int
    idle_ms: int


EARLIEST = 1_000_000_000_000
"""Milliseconds; ids below this (the year 2001) were set by hand and contain no time."""


class GroupInfo(Struct, frozen=True):
    """
    Describe one group of a stream.

    Args:
        lag: Entries not yet delivered; None if the server cannot tell.
    """

    name: str
    consumers: int
    pending: int
    last_delivered_id: str
    lag: int | None


@dataclass(frozen=True, slots=True)
class StreamStats:
    """
    Describe a stream and one group of it.

    Args:
        lag: Entries not yet delivered to the group; None if the server cannot tell, or has no such group.
        dlq_length: Entries in the dead-letter stream; None if none was named.
    """

    stream: str
    group: str
    stream_length: int
    group_pel_size: int
    lag: int | None
    last_delivered_id: str
    consumers: Sequence[ConsumerInfo]
    dlq_length: int | None = None


def pairs(flat: Sequence[Any]) -> dict[str, Any]:
    """Read a flat `name value name value` reply."""
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def group_info(flat: Sequence[Any]) -> GroupInfo:
    """Read one group of an XINFO GROUPS reply; `lag` is missing before Redis 7."""
    info = pairs(flat)
    return GroupInfo(
        name=info["name"].decode(),
        consumers=info["consumers"],
        pending=info["pending"],
        last_delivered_id=info["last-delivered-id"].decode(),
        lag=info.get("lag"),
    )


def consumer_info(flat: Sequence[Any]) -> ConsumerInfo:
    """Read one consumer of an XINFO CONSUMERS reply."""
    info = pairs(flat)
    return ConsumerInfo(name=info["name"].decode(), pending=info["pending"], idle_ms=info["idle"])


def pending_entry(item: Sequence[Any]) -> PendingEntry:
    """Read one item of an extended XPENDING reply."""
    entry_id, consumer, idle, deliveries = item
    return PendingEntry(entry_id.decode(), consumer.decode(), idle, deliveries)
