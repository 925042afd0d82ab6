"""History: rates, backlogs and call times of a pipeline's stages, as its runs recorded them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct, field

from rsq_pipe.engine.call_times import quantiles
from rsq_pipe.engine.housekeeping.history import STEP
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time

POINTS = 360
"""Maximum number of points returned for one stage."""

APART = 2.5 * STEP
"""Maximum seconds between two adjacent points; if there are more, nothing ran in between."""


class Line(Struct, frozen=True):
    """
    Describe a stage over time.

    Args:
        times: The ends of the steps, in seconds since 1970.
        rates: Records done per second in each; None if nothing ran.
        backlogs: The highest backlog in each; None if nothing ran.
    """

    times: list[int] = field(default_factory=list)
    rates: list[float | None] = field(default_factory=list)
    backlogs: list[int | None] = field(default_factory=list)


class Day(Struct, frozen=True):
    """
    Hold the history of a pipeline.

    Args:
        step: Seconds per step.
        stages: By name.
    """

    step: int
    stages: Mapping[str, Line]


class _Point(Struct, frozen=True):
    at: float
    done: int
    backlog: int


async def history(client: StreamClient, pipeline: str, window: float) -> Day:
    """
    Read the rates and backlogs of the stages.

    Args:
        client: The server.
        pipeline: The pipeline's name.
        window: Length of the period up to now, in seconds.

    Redis: TIME, XRANGE.
    """
    key = Keyspace(pipeline).history
    now = await server_time(client, key)
    step = max(STEP, -(-int(window) // POINTS // STEP) * STEP)
    step += STEP if window / step > POINTS else 0
    start = max(0, int((now - window - APART) * 1000))
    points: dict[str, list[_Point]] = {}
    for entry_id, fields in await client.channel.execute("XRANGE", key, start, "+", key=key):
        at = int(entry_id.partition(b"-")[0]) / 1000
        for name, value in zip(fields[::2], fields[1::2], strict=True):
            with contextlib.suppress(ValueError):  # not written by a run
                done, _, backlog = value.decode().partition(" ")
                points.setdefault(name.decode(), []).append(_Point(at, int(done), int(backlog)))
    times = range(int((now - window) // step + 1) * step, int(now // step + 1) * step + 1, step)
    return Day(step, {name: _line(found, times, step) for name, found in points.items()})


async def last_seen(client: StreamClient, pipeline: str) -> float | None:
    """
    Return when a run last recorded a point; None if none has.

    Redis: XREVRANGE of one entry.
    """
    key = Keyspace(pipeline).history
    found = await client.channel.execute("XREVRANGE", key, "+", "-", "COUNT", 1, key=key)
    return int(found[0][0].partition(b"-")[0]) / 1000 if found else None


def _line(points: Sequence[_Point], times: range, step: int) -> Line:
    """Distribute points over steps: each interval between two points counts for the steps it covers."""
    done: dict[int, float] = {}
    known: dict[int, float] = {}
    backlogs: dict[int, int] = {}
    for before, after in pairwise(points):
        seconds = after.at - before.at
        if not 0 < seconds <= APART:
            continue
        rate = max(0, after.done - before.done) / seconds  # negative after a `--fresh` start
        at = before.at
        while at < after.at:
            end = (at // step + 1) * step
            part = min(end, after.at) - at
            done[int(end)] = done.get(int(end), 0.0) + rate * part
            known[int(end)] = known.get(int(end), 0.0) + part
            at = end
    for point in points:
        end = -int(-point.at // step) * step
        backlogs[end] = max(backlogs.get(end, 0), point.backlog)
    line = Line()
    for end in times:
        line.times.append(end)
        line.rates.append(round(done[end] / known[end], 3) if known.get(end) else None)
        line.backlogs.append(backlogs.get(end))
    return _trimmed(line)


def _trimmed(line: Line) -> Line:
    """Remove the steps before the first and after the last one with data."""
    places = [
        place
        for place, (rate, backlog) in enumerate(zip(line.rates, line.backlogs, strict=True))
        if rate is not None or backlog is not None
    ]
    if not places:
        return Line()
    part = slice(places[0], places[-1] + 1)
    return Line(line.times[part], line.rates[part], line.backlogs[part])


async def call_counts(client: StreamClient, pipeline: str) -> Counter[str]:
    """
    Count all calls since the pipeline's first run, by `stage:duration`.

    Redis: HGETALL.
    """
    key = Keyspace(pipeline).calls
    flat = await client.channel.execute("HGETALL", key, key=key)
    return Counter({name.decode(): int(count) for name, count in zip(flat[::2], flat[1::2], strict=True)})


def percentiles(counts: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    """Return by stage the median and 95th percentile of call times, in seconds."""
    stages: dict[str, dict[int, int]] = {}
    for name, count in counts.items():
        stage, _, number = name.rpartition(":")
        if count > 0 and number.isdigit():
            stages.setdefault(stage, {})[int(number)] = count
    found = {stage: quantiles(of, 0.5, 0.95) for stage, of in stages.items()}
    return {stage: (values[0], values[1]) for stage, values in found.items() if values}
