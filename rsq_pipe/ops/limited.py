"""Limited: that a stage waits for its `rate`."""

from __future__ import annotations

from msgspec import Struct

from rsq_pipe.spec.graph import RateLimit
from rsq_pipe.streams.client import StreamClient


class StageLimit(Struct, frozen=True):
    """
    Say that a stage waits for its `rate`.

    Args:
        rate: As the file says it.
        seconds: How long until all that has been asked for by now will have been let through.
    """

    rate: str
    seconds: float


async def limited_by(client: StreamClient, limit: RateLimit, bucket: str, now: float) -> StageLimit | None:
    """Return whether a stage waits, according to its token bucket."""
    kept = await client.channel.execute("GET", bucket, key=bucket)
    if kept is None:
        return None
    left, at = map(float, kept.split())
    left += max(0.0, now - at) * limit.per_second
    return StageLimit(limit.text, -left / limit.per_second) if left < 0 else None
