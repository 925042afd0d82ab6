"""Past: what all stages a pipeline ever had still hold, whatever its file says now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from rsq_pipe.engine.changes.last_run import GRAPH, LastRun, known, marks, parse, positions, recall
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.state.count_fields import appended, settled
from rsq_pipe.engine.state.record_counts import to_do
from rsq_pipe.model.state import KEYS
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.snapshot import Snapshot, take
from rsq_pipe.units import counted

SHOWN_POSITIONS = 5
"""How many positions of a stage are read for display; the rest are only counted."""


class Reading(Struct, frozen=True):
    """
    Describe one stage's position in one stream.

    Args:
        stage, stream: Which stage, and in which stream.
        lag: Records not delivered yet; None if the server cannot tell.
        pending: Records delivered but not settled.
        last: The id of the last entry delivered; empty if the group is gone.
    """

    stage: str
    stream: str
    lag: int | None = 0
    pending: int = 0
    last: str = ""

    @property
    def holds(self) -> bool:
        """Whether it has records that are still to be processed."""
        return self.lag != 0 or self.pending > 0


class Holding(Struct, frozen=True):
    """
    Describe what one stage holds.

    Args:
        lag: Records not delivered to it; None if the server cannot tell.
        pending: Records delivered but not settled.
        retry: Records waiting for their next attempt.
        dead: Dead letters.
        positions: Shard or target -> position, for some of them.
        placed: How many positions there are in all.
        last: Stream -> the id of the last entry delivered.
        keys: How many keys its state holds.
    """

    lag: int | None = 0
    pending: int = 0
    retry: int = 0
    dead: int = 0
    positions: Mapping[str, str] = field(default_factory=dict)
    placed: int = 0
    last: Mapping[str, str] = field(default_factory=dict)
    keys: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether it holds no records and no state; a position does not count."""
        return self.lag == 0 and not (self.pending or self.retry or self.dead or self.keys)

    @property
    def waits(self) -> bool:
        """Whether it holds records that still have to be processed; dead letters do not count."""
        return self.lag != 0 or self.pending > 0 or self.retry > 0

    @property
    def remembered(self) -> str:
        """How many keys its state holds, in words."""
        return counted(self.keys, "key")

    def __str__(self) -> str:
        return ", ".join(self._words()) or "nothing"

    def _words(self) -> Iterator[str]:
        if self.lag is None:
            yield "records that wait"
        elif self.lag:
            yield f"{self.lag:,} waiting"
        if self.pending:
            yield f"{self.pending:,} pending"
        if self.retry:
            yield f"{self.retry:,} to be retried"
        if self.dead:
            yield counted(self.dead, "dead letter")
        if self.keys:
            yield f"{self.remembered} that it remembers"


class Past(Struct, frozen=True):
    """
    Describe what the runs of a pipeline left on a server.

    Args:
        ran: Whether there were any runs.
        last: The graph of the last run.
        kept: Whether that graph was stored; otherwise it was reconstructed.
        readings: Every group they created, by stage and stream.
        holdings: By stage, for every stage there ever was.
        fields: Names of the fields of the pipeline's hash.
        strangers: Groups on the pipeline's own streams that the pipeline did not create, as (group, stream).
    """

    ran: bool
    last: LastRun
    kept: bool
    readings: Mapping[tuple[str, str], Reading]
    holdings: Mapping[str, Holding]
    fields: frozenset[str] = frozenset()
    strangers: tuple[tuple[str, str], ...] = ()


async def read_past(client: StreamClient, pipeline: str) -> Past:
    """
    Find out what the runs of a pipeline left, without its file.

    Raises:
        ServerUnavailableError: The server cannot be reached.
        NewerFormError: A newer release ran the pipeline, and stores things in another form.

    Redis: HKEYS, then MULTI like the runner's look; nothing is written.
    """
    keys = Keyspace(pipeline)
    fields = frozenset(
        field.decode() for field in await client.channel.execute("HKEYS", keys.meta, key=keys.meta)
    )
    made, names = marks(fields), known(fields)
    shown = [found for name in names for found in positions(fields, name)[:SHOWN_POSITIONS]]
    counts = [
        field
        for name, stream in made
        for field in (settled(name, stream), appended(stream))
        if field in fields
    ]
    shot = await take(
        client,
        streams=sorted({stream for _, stream in made}),
        sets=[f"{{{pipeline}}}:{name}:retry" for name in names],
        lengths=[f"{{{pipeline}}}:{name}:dlq" for name in names],
        table=keys.meta,
        fields=[GRAPH, "spec", *shown, *counts],
        hashes=[f"{{{pipeline}}}:{name}:state" for name in names],
    )
    graph = parse(pipeline, shot.table.get(GRAPH))
    readings = {(name, stream): _reading(shot, name, stream) for name, stream in made}
    return Past(
        ran="spec" in shot.table,
        last=graph or recall(pipeline, fields),
        kept=graph is not None,
        readings=readings,
        holdings={name: _holding(pipeline, name, shot, readings, fields) for name in names},
        fields=fields,
        strangers=tuple(
            (group, stream)
            for stream, groups in sorted(shot.groups.items())
            for group in groups
            if (group, stream) not in readings and stream.startswith(f"{{{pipeline}}}:")
        ),
    )


async def refuse_newer_form(client: StreamClient, pipeline: str) -> None:
    """
    Check that what a pipeline has on its server is not of a form that only a newer release knows.

    Raises:
        NewerFormError: It is.

    Redis: HGET.
    """
    meta = Keyspace(pipeline).meta
    raw = await client.channel.execute("HGET", meta, GRAPH, key=meta) or b""
    parse(pipeline, raw.decode(errors="replace"))


def _reading(shot: Snapshot, name: str, stream: str) -> Reading:
    info = shot.groups[stream].get(name)
    if info is None:
        return Reading(name, stream)
    lag, pending = to_do(shot.table, stream, info, undelivered=shot.undelivered(stream, name))
    return Reading(name, stream, lag, pending, info.last_delivered_id)


def _holding(
    pipeline: str,
    name: str,
    shot: Snapshot,
    readings: Mapping[tuple[str, str], Reading],
    fields: frozenset[str],
) -> Holding:
    own = [reading for (stage, _), reading in readings.items() if stage == name]
    lags = [reading.lag for reading in own]
    placed = positions(fields, name)
    return Holding(
        lag=None if None in lags else sum(lag or 0 for lag in lags),
        pending=sum(reading.pending for reading in own),
        retry=shot.sets[f"{{{pipeline}}}:{name}:retry"],
        dead=shot.lengths[f"{{{pipeline}}}:{name}:dlq"],
        positions={
            field.split(":", 2)[2]: shot.table[field] for field in placed if shot.table.get(field) is not None
        },
        placed=len(placed),
        last={reading.stream: reading.last for reading in own if reading.last},
        keys=int(shot.hashes[f"{{{pipeline}}}:{name}:state"].get(KEYS, 0)),
    )
