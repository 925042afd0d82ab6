"""Memory: how full a server is, by its own account, and its disk."""

from __future__ import annotations

from dataclasses import dataclass

from redis.exceptions import ResponseError

from rsq_pipe.streams.client import StreamClient

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """
    Hold what a server has in use, and what it may.

    Args:
        used: Bytes that count against the limit.
        limit: `maxmemory`, bytes; 0 for none.
        evicts: Whether a full server throws any key away rather than refuse to store.
    """

    used: int
    limit: int
    evicts: bool

    @property
    def is_full(self) -> bool:
        """Whether the server refuses what is written, or would refuse a batch."""
        # A command counts while it is read: a source that finds no room stands still a whole batch, and what
        # the server needs to read it, below the limit.
        room = min(max(_MIB, self.limit // 20), 16 * _MIB, self.limit // 4)
        return self.limit > 0 and not self.evicts and self.used >= self.limit - room


async def refusal_to_write(client: StreamClient, key: str) -> str:
    """
    Ask the server that holds a key why it takes no writes at all, its disk being full; empty where it does.

    Redis: PING.
    """
    (reply,) = await client.channel.exchange([["PING"]], key=key)
    return str(reply) if isinstance(reply, ResponseError) and str(reply).startswith("MISCONF") else ""


async def memory_of(client: StreamClient, key: str) -> Memory | None:
    """
    Ask the server that holds a key for its memory; None where the user may not ask.

    Redis: INFO.
    """
    (reply,) = await client.channel.exchange([["INFO", "memory"]], key=key)
    if isinstance(reply, ResponseError):
        return None
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    found = {name: value.strip() for name, colon, value in lines if colon}
    uncounted = int(found.get("mem_not_counted_for_evict", 0))
    return Memory(
        used=int(found.get("used_memory", 0)) - uncounted,
        limit=int(found.get("maxmemory", 0)),
        evicts=found.get("maxmemory_policy", "").startswith("allkeys-"),
    )
