"""Limited: a stage that waits for its `rate`."""

from __future__ import annotations

from msgspec import Struct

from rsq_pipe.spec.graph import RateLimit
from rsq_pipe.streams.client import StreamClient


class StageLimit(Struct, frozen=True):
    """
    Describe a stage's wait for its `rate`.

    Args:
        rate: The rate as written.
        seconds: Seconds until all tokens taken so far would have been there.
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
