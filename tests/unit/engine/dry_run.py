"""A pipeline run from end to end over lists instead of streams: the engine's own decisions, no server."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import structlog

from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.engine.chain import Chain
from rsq_pipe.engine.encoding.codecs import Unfolding, serializer
from rsq_pipe.engine.keyspace import Keyspace, groups
from rsq_pipe.engine.links import chain
from rsq_pipe.engine.packing import Unpacked
from rsq_pipe.engine.plan import Plan, Work
from rsq_pipe.engine.planner import NO_ENTRIES, Planner
from rsq_pipe.engine.sources.arrivals import Arrivals
from rsq_pipe.engine.unread import Unread
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.settlement import Output, spelled_out
from rsq_pipe.telemetry.observer import Observer, StageObserver
from tests.unit.engine.given import fields, portions_of


class DryRun:
    """
    Run a pipeline.

    Args:
        of: The pipeline.
        draw: Says how many entries are read at once, and where something goes wrong.
        trouble: Whether batches come again since their worker died, and are settled entry by entry as if the
            others were gone.
    """

    def __init__(self, of: Graph, draw: random.Random, *, trouble: bool = False) -> None:
        self._trouble = trouble
        self._graph = of
        self._draw = draw
        self._names = [stage.name for stage in of.stages]
        self._groups = groups(of)
        self._waiting: dict[tuple[str, str], list[RawEntry]] = defaultdict(list)
        self._written: list[Output] = []
        self._dead: list[Output] = []
        self._number = 0
        self.counts: Counter[str] = Counter()
        self.drops: Counter[tuple[str, str]] = Counter()

    async def run(self, came: Sequence[dict[str, Any]]) -> None:
        """Bring records in by the first stage, and go on until nothing is left to do."""
        read, *others = self._graph.stages
        await self._enter(read, came)
        chains = [(stage, self._chain(stage)) for stage in others if stage.verb != "sink"]
        for _, each in chains:
            await each.open()
        while any([await self._work(stage, each) for stage, each in chains]):
            pass
        for _, each in chains:
            await each.close()

    @property
    def ended(self) -> list[tuple[str, str, str, str]]:
        """Each record that has come to the end of the pipeline: stream, id, headers, record."""
        decode, take_apart = serializer(self._graph).decode, Unfolding(self._graph).singles
        found = []
        for out in self._written:
            if out.stream not in self._groups or self._is_sunk(out.stream):
                for one in take_apart(_raw(out, 1)):
                    headers = dict(one.headers)
                    rid = headers.pop("rsq-rid")
                    found.append((one.stream, rid, str(sorted(headers.items())), repr(decode(one.data))))
        return sorted(found)

    @property
    def dead(self) -> list[tuple[str, ...]]:
        """Each dead letter: stream, bytes, id, reason, error, attempts."""
        names = ("data", "rsq-rid", "rsq-dlq-reason", "rsq-dlq-error", "rsq-dlq-attempts", "rsq-dlq-stage")
        told = [(letter.stream, fields(letter.fields)) for letter in self._dead]
        return sorted((stream, *(one[name] for name in names)) for stream, one in told)

    def _is_sunk(self, stream: str) -> bool:
        return all(self._graph.stage(name).verb == "sink" for name in self._groups[stream])

    def _chain(self, stage: Stage) -> Chain:
        return chain(self._graph, stage, self._names, Observer())

    async def _enter(self, read: Stage, came: Sequence[dict[str, Any]]) -> None:
        arrivals = [Arrival(f"in:{n}", record) for n, record in enumerate(came)]
        arrived = Arrivals(self._graph, read, read.name, structlog.get_logger()).batch(
            Chunk.of(arrivals, "9")
        )
        its = self._chain(read)
        await its.open()
        steps = await its.process(arrived.batch)
        await its.close()
        work = Work(Unpacked(arrived.batch), steps, dict(enumerate(arrived.dead)))
        self._settle(Planner(self._graph, read, random.Random(1)).plan(work, NO_ENTRIES))

    async def _work(self, stage: Stage, its: Chain) -> bool:
        busy = False
        for stream in Keyspace(self._graph.pipeline).inputs(stage):
            waiting = self._waiting[stage.name, stream]
            while waiting:
                some = [waiting.pop(0) for _ in range(min(len(waiting), self._draw.randint(1, 5)))]
                # Each entry comes again once at most, so that none is taken for one that kills its worker.
                first_time = all(one.deliveries == 1 for one in some)
                dies = self._trouble and first_time and self._draw.random() < 0.3
                await self._batch(stage, its, some, dies=dies)
                if dies:
                    waiting += [one._replace(deliveries=2) for one in some]
                busy = True
        return busy

    async def _batch(self, stage: Stage, its: Chain, entries: Sequence[RawEntry], *, dies: bool) -> None:
        unread = Unread(self._graph, stage, StageObserver())
        unpacked = unread.unpacker.unpack(entries)
        steps = await its.process(unpacked.batch) if unpacked.batch.records else []
        work = Work(unpacked, steps, *unread.outputs(unpacked, entries))
        planner = Planner(self._graph, stage, random.Random(1))
        for portion in [] if dies else portions_of(planner, work):
            parts = [frozenset((place,)) for place in portion] if self._trouble else [portion]
            for part in parts:
                self._settle(planner.plan(work, part))

    def _settle(self, plan: Plan) -> None:
        for part in plan.settlement.parts:
            self._append(spelled_out(part.outputs, part.rows))
            self._append(
                [Output(one.key.removesuffix("retry") + "again", one.fields) for one in part.retries]
            )
            self._dead += part.dead
        for fields_of_hash in plan.settlement.counts.values():
            self.counts.update(fields_of_hash)
        for key, reasons in plan.settlement.drops.items():
            self.drops.update({(key, reason): count for reason, count in reasons.items()})

    def _append(self, outputs: Sequence[Output]) -> None:
        self._written += outputs
        for out in outputs:
            self._number += 1
            for name in self._groups.get(out.stream, ()):
                self._waiting[name, out.stream].append(_raw(out, self._number))


def _raw(out: Output, number: int) -> RawEntry:
    raw = [item.encode() if isinstance(item, str) else item for item in out.fields]
    return RawEntry(out.stream, f"{number}-0", raw)
