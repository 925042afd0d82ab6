"""Call counts: how long the calls of each stage took, as its processes have counted them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rsq_pipe.engine.call_times import quantiles
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.streams.client import StreamClient


async def call_counts(client: StreamClient, pipeline: str) -> Counter[str]:
    """
    Count all calls since the pipeline's first run, by `stage:duration`.

    Redis: HGETALL.
    """
    key = Keyspace(pipeline).calls
    flat = await client.channel.execute("HGETALL", key, key=key)
    return Counter({name.decode(): int(count) for name, count in zip(flat[::2], flat[1::2], strict=True)})


def percentiles(counts: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    """Tell by stage in how many seconds half of the calls ended, and 95 of 100."""
    stages: dict[str, dict[int, int]] = {}
    for name, count in counts.items():
        stage, _, number = name.rpartition(":")
        if count > 0 and number.isdigit():
            stages.setdefault(stage, {})[int(number)] = count
    found = {stage: quantiles(of, 0.5, 0.95) for stage, of in stages.items()}
    return {stage: (values[0], values[1]) for stage, values in found.items() if values}
