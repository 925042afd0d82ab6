"""Memory: how full a server is, according to itself, and whether it takes writes at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from redis.exceptions import ResponseError

from rsq_pipe.streams.client import StreamClient

_MIB = 1 << 20

REPLICA = "READONLY it is a replica"
"""How the refusal of a replica begins."""

NO_REPLICAS = "NOREPLICAS"
"""How the refusal of a primary begins that misses replicas."""


EVICTS = (
    "the server evicts keys when it is full, records and positions among them, and tells nobody; before that "
    "happens: CONFIG SET maxmemory-policy noeviction, and the same in redis.conf"
)
"""What to say of a server whose `Memory.loses`."""


class Memory(Struct, frozen=True):
    """
    Hold how much memory a server uses, and how much it may use.

    Args:
        used: Bytes that count against the limit.
        limit: `maxmemory`, bytes; 0 for none.
        evicts: Whether a full server evicts any key rather than refuse writes.
    """

    used: int
    limit: int
    evicts: bool

    @property
    def loses(self) -> bool:
        """Whether the server deletes records, positions and dead letters when it is full."""
        return self.evicts and self.limit > 0

    @property
    def is_full(self) -> bool:
        """Whether the server refuses writes, or would refuse a batch."""
        # A command already counts while it is read: a source that finds no room stops a whole batch, plus
        # what the server needs to read it, below the limit.
        room = min(max(_MIB, self.limit // 20), 16 * _MIB, self.limit // 4)
        return self.limit > 0 and not self.evicts and self.used >= self.limit - room


async def refusal_to_write(client: StreamClient, key: str) -> str:
    """
    Return why the server that holds a key takes no writes; empty if it does.

    Its disk is full, it is a replica, or it misses replicas that it is set to wait for.

    Redis: PING; INFO and CONFIG GET, if the user may.
    """
    reply, role, setting = await client.channel.exchange(
        [["PING"], ["INFO", "replication"], ["CONFIG", "GET", "min-replicas-to-write"]], key=key
    )
    if isinstance(reply, ResponseError) and str(reply).startswith("MISCONF"):
        return str(reply)
    if isinstance(role, ResponseError):
        return ""
    found = info_fields(role)
    if found.get("role") == "slave":
        return f"{REPLICA} of {found.get('master_host')}:{found.get('master_port')}"
    return _missing_replicas(found, setting)


def _missing_replicas(role: dict[str, str], setting: object) -> str:
    """Return the refusal of a primary; the number of good replicas is there only if some are needed."""
    good = role.get("min_slaves_good_slaves")
    if good is None:
        return ""
    if isinstance(setting, list | tuple) and len(setting) == 2:  # empty or refused: this user may not ask
        needed = int(setting[1])
        missing = int(good) < needed
        counts = f"it has {good} of the {needed} replicas that min-replicas-to-write asks for"
    else:
        missing = int(good) == 0
        counts = "it has none of the replicas that min-replicas-to-write asks for"
    return f"{NO_REPLICAS} {counts}" if missing else ""


async def memory_of(client: StreamClient, key: str) -> Memory | None:
    """
    Return the memory of the server that holds a key; None if the user may not ask.

    Redis: INFO.
    """
    (reply,) = await client.channel.exchange([["INFO", "memory"]], key=key)
    if isinstance(reply, ResponseError):
        return None
    found = info_fields(reply)
    uncounted = int(found.get("mem_not_counted_for_evict", 0))
    return Memory(
        used=int(found.get("used_memory", 0)) - uncounted,
        limit=int(found.get("maxmemory", 0)),
        evicts=found.get("maxmemory_policy", "").startswith("allkeys-"),
    )


class Sizes(Struct, frozen=True):
    """
    Hold what keys take, by the server's estimate from some of their entries.

    Args:
        keys: Key -> bytes; 0 for one that does not exist.
        others: Bytes of all other keys of the server.
        server: Bytes that hold no data: what the server itself needs, and buffers of its clients.
    """

    keys: Mapping[str, int]
    others: int
    server: int


async def sizes_of(client: StreamClient, keys: Sequence[str], key: str) -> Sizes | None:
    """
    Return what keys take on the server that holds one of them; None if the user may not ask.

    Redis: MEMORY USAGE per key, INFO.
    """
    asked = [["INFO", "memory"], *(["MEMORY", "USAGE", name] for name in keys)]
    info, *replies = await client.channel.exchange(asked, key=key)
    if any(isinstance(reply, ResponseError) for reply in (info, *replies)):
        return None
    found, told = dict(zip(keys, (int(reply or 0) for reply in replies), strict=True)), info_fields(info)
    own = sum(found.values())
    others = int(told.get("used_memory_dataset", own)) - own
    return Sizes(found, max(0, others), int(told.get("used_memory_overhead", 0)))


def info_fields(info: bytes) -> dict[str, str]:
    """Read the answer to INFO."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value.strip() for name, colon, value in lines if colon}
