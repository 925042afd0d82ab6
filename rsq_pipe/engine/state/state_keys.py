"""State keys: lists every key of a stage's state, even if the stage is no longer in any file."""

from __future__ import annotations

from rsq_pipe.streams.client import StreamClient

SCAN = 1_000
"""Keys that the server looks at in one step; it serves others between two steps."""


async def state_keys(client: StreamClient, pipeline: str, stage: str) -> list[str]:
    """
    List the keys of a stage's state: its scalars, its timers, and the existing buckets.

    Redis: SCAN, over all keys of the server that holds the pipeline.
    """
    head = f"{{{pipeline}}}:{stage}"
    return [f"{head}:state", f"{head}:timers", *await buckets(client, pipeline, stage)]


async def buckets(client: StreamClient, pipeline: str, stage: str) -> list[str]:
    """List the keys of the existing buckets, by SCAN."""
    key = f"{{{pipeline}}}:{stage}:state"
    return await keys_like(client, f"{key}:*", key)


async def keys_like(client: StreamClient, pattern: str, key: str) -> list[str]:
    """
    List the keys that match a pattern on the server that holds a key.

    Redis: SCAN, in steps of `SCAN` keys.
    """
    cursor, found = b"", set[str]()
    while cursor != b"0":
        cursor, page = await client.channel.execute(
            "SCAN", cursor or b"0", "MATCH", pattern, "COUNT", SCAN, key=key
        )
        found.update(name.decode() for name in page)
    return sorted(found)
