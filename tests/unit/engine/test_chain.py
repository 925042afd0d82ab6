"""A batch goes through a stage and those fused with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rsq_pipe.engine.call_times import CallTimes
from rsq_pipe.engine.chain import Chain, Link, Step
from rsq_pipe.engine.links import chain
from rsq_pipe.engine.packing import Port
from rsq_pipe.errors import HandlerError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Emit, Failure, Outcome, Outcomes
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.settlement import spelled_out
from rsq_pipe.telemetry.observer import BatchTrace, Observer, StageObserver
from tests.unit.engine.given import JSON, PACKS, Returns, handled, linked, pack, pipeline, records, run
from tests.unit.engine.stages import stage
from tests.unit.verbs.given import batch, batch_of, numbered, one

SHOP = """
read: {source: {type: jsonl, path: in.jsonl}}
take: {call: handlers:take, ports: [odd]}
keep: {from: take, filter: "n >= 0"}
sort: {route: [{to: large, when: "n > 5"}, {to: small, otherwise: true}]}
grow: {from: sort.large, map: {n: "n * 10"}}
shrink: {from: sort.small, map: {n: "n / 10"}}
odd: {from: take.odd, call: handlers:odd, fuse: true}
big: {from: grow, sink: {type: jsonl, path: big.jsonl}}
rest: {from: [shrink, odd], sink: {type: jsonl, path: rest.jsonl}}
"""
HANDLERS = """
from rsq_pipe import Emit, batch_handler

def take(record):
    return Emit(record, "odd") if record["n"] == 7 else record

def odd(record):
    return {**record, "odd": True}

@batch_handler
def together(records):
    return [{"n": record["n"], "of": len(records)} for record in records]
"""


def names(steps: Sequence[Step]) -> list[str]:
    return [step.link.stage.name for step in steps]


def step_of(steps: Sequence[Step], name: str) -> Step:
    (found,) = [step for step in steps if step.link.stage.name == name]
    return found


@pytest.fixture
def shop(tmp_path: Path) -> Graph:
    return pipeline(tmp_path, SHOP, handlers=HANDLERS)


def test_a_chain_holds_each_stage_before_those_below_it(shop: Graph) -> None:
    links = list(linked(shop, "take").links())

    assert links[0].stage.name == "take"
    assert {link.stage.name for link in links} == {"take", "keep", "sort", "grow", "shrink", "odd"}
    assert links[0].below.keys() == {"", "odd"}
    assert links[0].ports == {}
    grow = next(link for link in links if link.stage.name == "grow")
    assert grow.ports[""].key == "{orders}:grow"
    assert [link.stage.name for link in linked(shop, "grow").links()] == ["grow"]


def test_a_stage_that_does_not_run_here_is_written_to(shop: Graph) -> None:
    of = chain(shop, shop.stage("take"), ["take", "sort"], Observer())

    assert [link.stage.name for link in of.links()] == ["take"]
    assert of.first.ports[""].key == "{orders}:take"


async def test_a_batch_goes_through_all_stages_and_is_written_at_the_ends(shop: Graph) -> None:
    steps = await run(linked(shop, "take"), batch(*({"n": n} for n in (1, 6, 7, -1, 8))))

    assert names(steps) == ["take", "keep", "sort", "grow", "shrink", "odd"]
    assert step_of(steps, "take").written == {}
    assert records(step_of(steps, "grow").written[""].outputs) == [
        ("{orders}:grow", {"n": 60}, {"rsq-rid": "read:1"}),
        ("{orders}:grow", {"n": 80}, {"rsq-rid": "read:4"}),
    ]
    assert [record for _, record, _ in records(step_of(steps, "shrink").written[""].outputs)] == [{"n": 0.1}]
    assert [record for _, record, _ in records(step_of(steps, "odd").written[""].outputs)] == [
        {"n": 7, "odd": True}
    ]


async def test_a_stage_to_which_nothing_comes_is_not_called(shop: Graph) -> None:
    assert names(await run(linked(shop, "take"), batch({"n": 7}))) == ["take", "odd"]


async def test_a_record_keeps_its_entry_its_id_and_its_headers_through_the_chain(tmp_path: Path) -> None:
    of = pipeline(
        tmp_path,
        "read: {source: {type: jsonl, path: in.jsonl}}\na: {call: handlers:a}\n"
        "b: {map: {m: n}}\nc: {filter: m}\nout: {sink: {type: jsonl, path: out.jsonl}}",
        handlers=(
            "from rsq_pipe import Emit\n"
            "def a(record): return [Emit(record, headers={'k': 'v'}), record] if record['n'] == 2 else record"
        ),
    )
    given = batch_of(*(one({"n": n}, f"read:{n}", currency="EUR") for n in range(4)))
    given.origins = [0, 0, 1, 1]

    steps = await run(linked(of, "a"), given)

    last = step_of(steps, "c")
    assert last.batch.rids == ["read:0", "read:1", "read:2.0", "read:2.1", "read:3"]
    assert list(last.batch.origins) == [0, 0, 1, 1, 1]
    assert last.batch.headers[2] == {"currency": "EUR", "k": "v"}
    assert [given for _, _, given in records(last.written[""].outputs)][1:3] == [
        {"rsq-rid": "read:2.0", "currency": "EUR", "k": "v"},
        {"rsq-rid": "read:2.1", "currency": "EUR"},
    ]


async def test_branches_that_meet_outside_are_named_in_the_chain_as_behind_a_stream(tmp_path: Path) -> None:
    text = """
    read: {source: {type: jsonl, path: in.jsonl}}
    a: {from: read, filter: "True", to: {stream: all-orders}}
    b: {from: read, filter: "True"}
    c: {from: b, map: {n: n}, to: {stream: all-orders}}
    """
    steps = await run(linked(pipeline(tmp_path, text), "b"), batch({"n": 1}))

    written = step_of(steps, "c").written[""]
    found = records(spelled_out(written.outputs, written.rows))
    assert [(stream, given) for stream, _, given in found] == [("all-orders", {"rsq-rid": "read:0@b@c"})]


# Handlers


@pytest.mark.parametrize(("size", "seen"), [(2, [2, 2, 2, 2, 1]), (5, [5] * 5), (500, [5] * 5)])
async def test_a_handler_gets_no_more_records_at_once_than_it_asks_for(
    tmp_path: Path, size: int, seen: list[int]
) -> None:
    text = f"""
    read: {{source: {{type: jsonl, path: in.jsonl}}}}
    sum: {{call: handlers:together, batch: {{size: {size}}}}}
    out: {{sink: {{type: jsonl, path: out.jsonl}}}}
    """
    of = linked(pipeline(tmp_path, text, handlers=HANDLERS), "sum")

    (step,) = await run(of, numbered(5))

    assert [record["of"] for _, record, _ in records(step.written[""].outputs)] == seen
    assert step.outcomes.emitted[""].records == [{"n": n, "of": seen[n]} for n in range(5)]
    assert len(of.first.ports) == 1


class Parting(Returns):
    """Returns an outcome for each record by its number, however many come at once."""

    async def process(self, batch: Batch) -> Outcomes:
        return await Returns(self._stage, [self._outcomes[record["n"]] for record in batch.records]).process(
            batch
        )


async def test_what_a_handler_says_slice_by_slice_is_as_if_it_had_got_all_at_once() -> None:
    outcomes: list[Outcome] = [
        {"n": 0},
        None,
        [{"n": 2}, Emit({"n": 22}, "odd", {"k": "v"})],
        Failure(ValueError()),
        Emit({"n": 4}, headers={"k": "4"}),
        Emit({"n": 5}, "odd"),
        None,
    ]
    found = []
    for size in (3, 200):
        at = stage(ports=("odd",), batch_size=size)
        ports = {port: Port(ref.name, JSON, PACKS) for port, ref in at.outputs.items()}
        (step,) = await run(Chain(Link(at, Parting(at, outcomes), StageObserver(), ports), JSON), numbered(7))
        found.append(step)

    apart, whole = found
    assert {
        port: replace(some, sources=list(some.sources)) for port, some in apart.outcomes.emitted.items()
    } == whole.outcomes.emitted
    assert apart.outcomes.dropped == whole.outcomes.dropped == {"returned None": [1, 6]}
    assert apart.outcomes.failed == whole.outcomes.failed
    assert {port: some.outputs for port, some in apart.written.items()} == {
        port: some.outputs for port, some in whole.written.items()
    }


# What is told of it


class Trace(BatchTrace):
    """Writes down when its batch begins and ends."""

    def __init__(self, given: Batch, name: str, log: list[str]) -> None:
        super().__init__(
            replace(given, headers={place: {"traceparent": name} for place in range(len(given))})
        )
        self._name, self._log = name, log
        log.append(f"begin {name}")

    def close(self) -> None:
        self._log.append(f"close {self._name}")


class Observers(StageObserver):
    """Follows all stages."""

    def __init__(self, name: str = "", log: list[str] | None = None) -> None:
        self._name = name
        self.log: list[str] = [] if log is None else log

    def stage(self, of: Any) -> StageObserver:
        return Observers(of.name, self.log)

    def begin(self, batch: Batch) -> BatchTrace:
        return Trace(batch, self._name, self.log)


async def test_each_stage_hands_its_trace_to_the_next(shop: Graph) -> None:
    observers = Observers()

    steps = await run(chain(shop, shop.stage("take"), _all(shop), observers), batch({"n": 1}))  # type: ignore[arg-type]

    assert observers.log == [f"begin {name}" for name in ("take", "keep", "sort", "shrink")]
    (written,) = step_of(steps, "shrink").written[""].outputs
    assert written.fields[4:] == ["traceparent", "shrink"]
    headers: Mapping[str, str] = step_of(steps, "sort").batch.headers_at(0)
    assert headers == {"traceparent": "sort"}


class Ending(Returns):
    """Cannot go on."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(stage("next"), [])
        self._error = error

    async def process(self, batch: Batch) -> Outcomes:
        raise self._error


@pytest.mark.parametrize("error", [HandlerError("no more"), asyncio.CancelledError()], ids=repr)
async def test_where_a_stage_cannot_go_on_all_that_has_begun_is_closed(error: BaseException) -> None:
    observers = Observers()
    at = stage()
    below = Link(stage("next"), Ending(error), observers.stage(stage("next")), {})
    first = Link(at, Returns(at, [{}]), observers.stage(at), {}, {"": below})

    with pytest.raises(type(error)):
        await Chain(first, JSON).process(batch({}))

    assert observers.log == ["begin price", "begin next", "close price", "close next"]


async def test_records_come_out_in_the_order_they_came_in() -> None:
    at = stage()
    _, work = await handled(
        at, [pack(1, range(100)), pack(2, range(100, 200))], [{"n": n} for n in range(200)]
    )

    (step,) = work.steps

    assert [record["n"] for _, record, _ in records(step.written[""].outputs)] == list(range(200))


def _all(of: Graph) -> list[str]:
    return [each.name for each in of.stages]


@pytest.mark.parametrize(("verb", "handled"), [("call", False), ("aggregate", True), ("dedupe", True)])
async def test_after_the_last_call_a_batch_is_still_added_to_the_state_of_a_stage(
    verb: str, *, handled: bool
) -> None:
    """A record that comes back later could find its window closed."""
    of = stage(verb=verb)
    alone = Chain(
        Link(of, Returns(of, [{"n": 1}]), StageObserver(), {"": Port("{orders}:price", JSON)}), JSON
    )
    alone.skip_rest()

    (step,) = await alone.process(batch({"n": 1}))

    assert (not step.outcomes.failed) == handled


async def test_packs_are_large_from_the_first_batch_on_after_their_reader_turned_out_to_be_quick() -> None:
    of, times = stage(), CallTimes()
    times.each["ship"] = 0.0  # nobody knows yet
    ports = {"": Port("{orders}:price", JSON, PACKS, callers=["ship"])}
    writes = Chain(Link(of, Parting(of, [{"n": 0}] * 25), StageObserver(), ports), JSON, times)
    writes.update({})

    (before,) = await writes.process(numbered(25))
    times.each["ship"] = 0.001
    (after,) = await writes.process(numbered(25))

    assert [out.fields[1] for out in before.written[""].outputs] == ["10", "10", "5"]
    assert [out.fields[1] for out in after.written[""].outputs] == ["25"]
