"""What the tests of the engine are given: entries, what a handler returned, and a look at what is written."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsq_pipe.engine.chain import Chain, Link, Step
from rsq_pipe.engine.encoding.codecs import unfolded
from rsq_pipe.engine.links import chain
from rsq_pipe.engine.packing import Port
from rsq_pipe.engine.plan import Plan, Work
from rsq_pipe.engine.planner import Planner
from rsq_pipe.engine.unread import Unread
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcome, Outcomes
from rsq_pipe.model.pack import JsonPacks
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.headers import ATTEMPTS, RID
from rsq_pipe.streams.serializers import JsonSerializer
from rsq_pipe.streams.settlement import Output, Part, spelled_out
from rsq_pipe.telemetry.observer import Observer, StageObserver
from rsq_pipe.verbs.normalise import Normaliser
from tests.support.project import Project
from tests.unit.engine.stages import graph, source

PACKS, JSON = JsonPacks(), JsonSerializer()
READ, META = "{orders}:read", "{orders}:meta"


def entry(
    number: int = 1,
    data: bytes | dict[str, Any] = b'{"n":1}',
    *,
    stream: str = READ,
    deliveries: int = 1,
    named: bool = True,
    **headers: Any,
) -> RawEntry:
    """The record read:NUMBER in the entry NUMBER-0; not named: one from outside."""
    raw = data if isinstance(data, bytes) else JSON.encode(data)
    fields = [b"data", raw]
    if named:
        fields += [RID.encode(), f"read:{number}".encode()]
    for name, text in headers.items():
        fields += [name.replace("_", "-").encode(), text.encode()]
    return RawEntry(stream, f"{number}-0", fields, deliveries)


def failed_before(number: int, attempts: int | str, **settings: Any) -> RawEntry:
    """The record read:NUMBER, come back to stage price after failed attempts."""
    stream = settings.pop("stream", "{orders}:price:again")
    return entry(number, stream=stream, **settings | {ATTEMPTS: str(attempts)})


def pack(
    number: int,
    numbers: Sequence[int],
    headers: Mapping[int, Mapping[str, str]] | None = None,
    *,
    stream: str = READ,
    deliveries: int = 1,
) -> RawEntry:
    """The records {"n": N} with the ids read:N in the entry NUMBER-0."""
    raw = PACKS.encode([{"n": n} for n in numbers], [f"read:{n}" for n in numbers], headers or {})
    return RawEntry(stream, f"{number}-0", [b"rsq-pack", b"%d" % len(numbers), b"data", raw], deliveries)


class Returns:
    """A verb whose handler has returned an outcome for each record."""

    pure = False
    changed = None

    def __init__(self, stage: Stage, outcomes: Sequence[Outcome]) -> None:
        self._stage = stage
        self._outcomes = outcomes

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def process(self, batch: Batch) -> Outcomes:
        assert len(batch) == len(self._outcomes), "give the stage a larger batch.size"
        return Normaliser(self._stage).outcomes(batch, list(self._outcomes))


async def handled(
    of: Stage, entries: Sequence[RawEntry], outcomes: Sequence[Outcome], within: Graph | None = None
) -> tuple[Planner, Work]:
    """One batch of one stage, with an outcome for each record."""
    pipeline = within or graph(source(), of)
    unread = Unread(pipeline, of, StageObserver())
    unpacked = unread.unpacker.unpack(entries)
    ports = {port: Port(ref.key("orders"), JSON, PACKS) for port, ref in of.outputs.items()}
    alone = Chain(Link(of, Returns(of, outcomes), StageObserver(), ports), JSON)
    steps = await alone.process(unpacked.batch) if unpacked.batch.records else []
    work = Work(unpacked, steps, *unread.outputs(unpacked, entries))
    return Planner(pipeline, of, random.Random(1)), work


async def planned(
    of: Stage, entries: Sequence[RawEntry], outcomes: Sequence[Outcome], within: Graph | None = None
) -> Plan:
    """The plan of all of a batch."""
    planner, work = await handled(of, entries, outcomes, within)
    return planner.plan(work, work.portion)


def portions_of(planner: Planner, work: Work) -> list[frozenset[int]]:
    """The deliveries that are settled together, as the worker finds them: all, unless the plan is large."""
    portion = work.portion
    return planner.portions(work, portion) if planner.plan(work, portion).is_large else [portion]


def part_of(plan: Plan) -> Part:
    """The one part of a plan."""
    (only,) = plan.settlement.parts
    return only


def counts(plan: Plan, of: str = "price") -> dict[str, int]:
    """What a plan counts of a stage."""
    fields = plan.settlement.counts.get("{orders}:meta", {})
    return {name.removeprefix(f"{of}:"): count for name, count in fields.items() if name.startswith(f"{of}:")}


def drops(plan: Plan, of: str = "price") -> Mapping[str, int]:
    """How many records a plan drops, by reason."""
    return plan.settlement.drops.get(f"{{orders}}:{of}:drops", {})


def fields(flat: Sequence[str | bytes]) -> dict[str, str]:
    """The fields of an output, `data` among them."""
    texts = [item.decode(errors="backslashreplace") if isinstance(item, bytes) else item for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def written(output: Output) -> tuple[str, Any, dict[str, str]]:
    """Stream, record and headers of an output of one record."""
    rest = fields(output.fields)
    return output.stream, json.loads(rest.pop("data")), rest


def singles(outputs: Sequence[Output]) -> list[RawEntry]:
    """The records that outputs hold, each as an entry, in order."""
    found = []
    for number, output in enumerate(outputs):
        raw = [item.encode() if isinstance(item, str) else item for item in output.fields]
        found += unfolded(RawEntry(output.stream, f"{number}-0", raw), PACKS, JSON)
    return found


def records(outputs: Sequence[Output]) -> list[tuple[str, Any, dict[str, str]]]:
    """Stream, record and headers of each record that outputs hold."""
    return [(one.stream, json.loads(one.data), dict(one.headers)) for one in singles(outputs)]


def pipeline(folder: Path, stages: str, *, handlers: str = "", top: str = "", defaults: str = "") -> Graph:
    """A pipeline named `orders` out of a file."""
    project = Project(folder / "project", "orders")
    (project.root / "in.jsonl").touch()
    if handlers:
        project.handlers(handlers)
    return load(project.spec(stages, top=top, defaults=defaults), environ={})


def linked(of: Graph, name: str) -> Chain:
    """The chain that begins with a stage, all stages running in this process."""
    return chain(of, of.stage(name), [stage.name for stage in of.stages], Observer())


async def run(of: Chain, given: Batch) -> list[Step]:
    """What each stage of a chain makes of a batch."""
    await of.open()
    steps = await of.process(given)
    await of.close()
    return steps


def settled(plans: Sequence[Plan]) -> list[Any]:
    """What plans settle together."""
    counted: dict[str, int] = {}
    for plan in plans:
        for name, count in plan.settlement.counts[META].items():
            counted[name] = counted.get(name, 0) + count
    parts = [part_of(plan) for plan in plans]
    return [
        counted,
        sorted(str(one) for part in parts for one in records(spelled_out(part.outputs, part.rows))),
        sorted(str(one) for part in parts for one in part.entries),
        sorted(fields(one.fields)["rsq-rid"] for part in parts for one in part.retries),
        sorted(fields(one.fields)["rsq-rid"] for part in parts for one in part.dead),
    ]
