"""A batch is settled as one: all that its records became is written, counted in records, and acknowledged."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
from msgspec.structs import replace

from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.engine.packing import Unpacked, Unpacker
from rsq_pipe.engine.plan import Plan, Work
from rsq_pipe.engine.planner import NO_ENTRIES, Planner
from rsq_pipe.engine.sources.arrivals import Arrivals
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import NOT_CALLED, Drop, Emit, Failure, Outcome, Reject
from rsq_pipe.spec.graph import StreamRef, Telemetry
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.settlement import Position, Settlement
from rsq_pipe.streams.wire import is_whole
from rsq_pipe.telemetry.observer import BatchTrace
from tests.unit.engine.given import (
    META,
    READ,
    counts,
    drops,
    entry,
    failed_before,
    fields,
    handled,
    linked,
    pack,
    part_of,
    pipeline,
    planned,
    records,
    settled,
)
from tests.unit.engine.stages import graph, sink, source, stage

FAILURE = Failure(ValueError("x"))
FINAL = Failure(ValueError("x"), retryable=False)


async def test_a_batch_has_one_part_whatever_becomes_of_its_records() -> None:
    at = stage(ports=("large",))
    came = [pack(1, [1, 2, 3]), entry(4), failed_before(5, 1), pack(6, [6, 7])]
    outcomes: list[Outcome] = [
        {"n": 1},
        None,
        FAILURE,
        Reject("no"),
        [{"n": 5}, Emit({"n": 55}, "large")],
        Drop("old"),
        Emit({"n": 7}, "large", {"k": "v"}),
    ]

    plan = await planned(at, came, outcomes)

    part = part_of(plan)
    assert [(one.stream, one.id) for one in part.entries] == [
        *((READ, "1-0"), (READ, "4-0")),
        *(("{orders}:price:again", "5-0"), (READ, "6-0")),
    ]
    assert records(part.outputs) == [
        ("{orders}:price", {"n": 1}, {"rsq-rid": "read:1"}),
        ("{orders}:price", {"n": 5}, {"rsq-rid": "read:5.0"}),
        ("{orders}:price.large", {"n": 55}, {"rsq-rid": "read:5.1"}),
        ("{orders}:price.large", {"n": 7}, {"rsq-rid": "read:7", "k": "v"}),
    ]
    assert (len(part.retries), len(part.dead), part.notes) == (1, 1, [])
    assert counts(plan) == {"in": 7, "out": 4, "dropped": 2, "retried": 1, "dead": 1}
    assert drops(plan) == {"returned None": 1, "old": 1}
    assert is_whole(plan.settlement)


async def test_a_record_that_a_stop_left_uncalled_is_neither_received_nor_retried() -> None:
    within = replace(graph(source(), stage()), telemetry=Telemetry(journal=10))
    came = [pack(1, [1, 2, 3]), failed_before(4, 1)]
    planner, work = await handled(stage(), came, [{}, FAILURE, NOT_CALLED, NOT_CALLED], within)
    (step,) = work.steps
    step.excused = {2: 0, 3: 0}  # as the chain does
    step.trace = trace = Telling(step.batch)

    plan = planner.plan(work, work.portion)

    assert counts(plan) == {"in": 2, "out": 1, "retried": 1}
    assert [fields(one.fields)["rsq-rid"] for one in part_of(plan).retries] == ["read:2"]
    assert records(part_of(plan).outputs) == [
        ("{orders}:price", {}, {"rsq-rid": "read:1"}),
        ("{orders}:price:again", {"n": 3}, {"rsq-rid": "read:3"}),
        ("{orders}:price:again", {"n": 1}, {"rsq-rid": "read:4", "rsq-attempts": "1"}),
    ]
    assert step.dispositions == {1: "retried", 2: "uncalled", 3: "uncalled"}
    assert trace.told == [1], "what has had no attempt begins no trace as a failure"
    assert [fields(note.fields)["rsq-rid"] for note in part_of(plan).notes] == ["read:1", "read:2"]


async def test_drops_of_one_reason_are_counted_together() -> None:
    plan = await planned(stage(), [pack(1, range(5))], [None, Drop("old"), None, Drop(), Drop("old")])

    assert drops(plan) == {"returned None": 2, "old": 2, "no reason given": 1}


async def test_what_ends_in_a_stage_without_an_output_is_delivered() -> None:
    plan = await planned(stage(outputs={}), [pack(1, [1, 2]), entry(3)], [None, {"sent": True}, [{"n": 1}]])

    assert counts(plan) == {"in": 3, "out": 3}
    assert (part_of(plan).outputs, drops(plan)) == ([], {})


async def test_streams_of_packs_are_counted_in_records_on_both_ends() -> None:
    within = graph(source(), stage(), sink())
    came = [pack(1, [1, 2, 3]), entry(4), failed_before(5, 1)]

    plan = await planned(stage(), came, [{}, {}, None, [{}, {}], {}], within)

    found = plan.settlement.counts[META]
    # What comes back has been settled once; no count tells of the stage's own stream.
    assert found == {
        "price:in": 5,
        "price:out": 5,
        "price:dropped": 1,
        f"settled:price:{READ}": 4,
        "appended:{orders}:price": 5,
    }


async def test_streams_that_nobody_reads_or_others_write_are_not_counted() -> None:
    take = stage(
        inputs=(StreamRef("orders-in", external=True),),
        outputs={"": StreamRef("orders-out", external=True), "odd": StreamRef("price.odd")},
    )

    plan = await planned(take, [entry(1, stream="orders-in")], [[{}, Emit({}, "odd")]])

    assert plan.settlement.counts == {META: {"price:in": 1, "price:out": 2}}


async def test_what_no_handler_saw_is_counted_as_read_and_dead() -> None:
    came = [
        RawEntry(READ, "1-0", [b"rsq-pack", b"3", b"data", b"{"], 1),
        entry(2, b"["),
        entry(3, deliveries=6),
        entry(4),
    ]

    plan = await planned(stage(), came, [{}])

    assert counts(plan) == {"in": 4, "out": 1, "dead": 3}
    assert plan.settlement.counts[META][f"settled:price:{READ}"] == 6
    assert len(part_of(plan).dead) == 3
    assert len(part_of(plan).entries) == 4


async def test_a_pack_that_came_back_is_split_and_its_records_are_settled_on_its_stream() -> None:
    plan = await planned(stage(), [pack(1, [1, 2, 3], deliveries=2)], [])

    assert [stream for stream, _, _ in records(part_of(plan).outputs)] == ["{orders}:price:again"] * 3
    assert plan.settlement.counts == {META: {f"settled:price:{READ}": 3}}


# Entries that are another worker's by now


async def test_without_entries_that_are_gone_the_others_are_settled_as_they_would_have_been() -> None:
    at = stage(ports=("large",), on_error="drop")
    came = [pack(1, [1, 2]), pack(3, [3, 4, 5]), entry(6, b"{"), pack(7, [7, 8], deliveries=2), pack(9, [9])]
    outcomes: list[Outcome] = [
        [{"n": 1}, Emit({"n": 11}, "large")],
        None,
        {"n": 3},
        FAILURE,
        FINAL,
        {"n": 9},
    ]
    within = graph(source(), at, sink(), sink("big", StreamRef("price.large")))
    planner, work = await handled(at, came, outcomes, within)
    whole = planner.plan(work, work.portion)
    gone = frozenset({(READ, "1-0"), (READ, "7-0"), ("elsewhere", "3-0")})

    plan = planner.plan(work, work.portion - work.places(gone))

    assert work.places(gone) == frozenset({0, 3})
    assert [one.id for one in part_of(plan).entries] == ["3-0", "6-0", "9-0"]
    assert [record for _, record, _ in records(part_of(plan).outputs)] == [{"n": 3}, {"n": 9}]
    assert plan.settlement.counts[META] == {
        "price:in": 5,
        "price:out": 2,
        "price:dropped": 1,
        "price:retried": 1,
        "price:dead": 1,
        f"settled:price:{READ}": 5,
        "appended:{orders}:price": 2,
    }
    assert drops(plan) == {"on_error: handler_error": 1}
    apart = [planner.plan(work, frozenset((place,))) for place in range(5)]
    assert settled(apart) == settled([whole])


async def test_without_all_of_them_nothing_is_settled() -> None:
    planner, work = await handled(stage(), [entry(1)], [{}])

    assert planner.plan(work, frozenset()).settlement == Settlement()


class Telling(BatchTrace):
    """Remembers which records it was told of."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(batch)
        self.told: list[int] = []

    def failing(self, place: int, error: BaseException | str) -> Mapping[str, str]:
        self.told.append(place)
        return {"traceparent": "x"}


async def test_a_record_that_fails_is_told_of_once_however_often_it_is_planned() -> None:
    planner, work = await handled(stage(), [entry(1), entry(2)], [FAILURE, FINAL])
    (step,) = work.steps
    step.trace = trace = Telling(step.batch)
    *_, plan = [planner.plan(work, work.portion) for _ in range(3)]

    assert trace.told == [0, 1]
    assert fields(part_of(plan).retries[0].fields)["traceparent"] == "x"
    assert step.dispositions == {0: "retried", 1: "dead-lettered"}


# Fused stages

FUSED = """
read: {source: {type: jsonl, path: in.jsonl}}
first: {call: handlers:first}
second: {filter: "n != 3"}
third: {map: {m: "10 // n"}, retry: {attempts: 2}}
out: {from: third, sink: {type: jsonl, path: out.jsonl}}
"""
HANDLERS = """
def first(record):
    return None if record["n"] == 9 else [record, record] if record["n"] == 1 else record
"""


async def fused(folder: Path, numbers: Sequence[int], on_error: str = "dlq") -> tuple[Planner, Work]:
    """The batch of the first of three fused stages, each record in an entry of its own."""
    text = FUSED.replace("attempts: 2}", f"attempts: 2}}, on_error: {on_error}")
    of = replace(pipeline(folder, text, handlers=HANDLERS), telemetry=Telemetry(journal=100))
    entries = [entry(place, {"n": n}) for place, n in enumerate(numbers)]
    unpacked = Unpacker(of, of.stage("first"), 5).unpack(entries)
    chain = linked(of, "first")
    await chain.open()
    steps = await chain.process(unpacked.batch)
    await chain.close()
    return Planner(of, of.stage("first"), random.Random(1)), Work(unpacked, steps)


async def test_each_stage_of_a_chain_counts_its_own_and_one_settlement_ends_all(tmp_path: Path) -> None:
    planner, work = await fused(tmp_path, [1, 2, 3, 0, 9])

    plan = planner.plan(work, work.portion)

    assert plan.settlement.counts[META] == {
        "first:in": 5,
        "first:out": 5,
        "first:dropped": 1,
        "second:in": 5,
        "second:out": 4,
        "second:dropped": 1,
        "third:in": 4,
        "third:out": 3,
        "third:dead": 1,
        f"settled:first:{READ}": 5,
        "appended:{orders}:third": 3,
    }
    assert plan.settlement.drops == {
        "{orders}:first:drops": {"returned None": 1},
        "{orders}:second:drops": {"filter": 1},
    }
    part = part_of(plan)
    assert [one.id for one in part.entries] == ["0-0", "1-0", "2-0", "3-0", "4-0"]
    assert [(stream, given["rsq-rid"]) for stream, _, given in records(part.outputs)] == [
        ("{orders}:third", f"read:{rid}") for rid in ("0.0", "0.1", "1")
    ]
    (letter,) = part.dead
    assert letter.stream == "{orders}:third:dlq"
    assert fields(letter.fields)["rsq-dlq-entry"] == f"{READ}/3-0"


async def test_the_journal_of_each_stage_says_what_became_of_each_record(tmp_path: Path) -> None:
    planner, work = await fused(tmp_path, [1, 3, 0, 9])

    plan = planner.plan(work, work.portion)

    assert plan.settlement.kept == 100
    assert [(note.stream.split(":")[1], *fields(note.fields).values()) for note in part_of(plan).notes] == [
        ("first", "read:0", "emitted", "1"),
        ("first", "read:1", "emitted", "1"),
        ("first", "read:2", "emitted", "1"),
        ("first", "read:3", "dropped", "1", "returned None"),
        ("second", "read:0.0", "emitted", "1"),
        ("second", "read:0.1", "emitted", "1"),
        ("second", "read:2", "emitted", "1"),
        ("second", "read:1", "dropped", "1", "filter"),
        ("third", "read:0.0", "emitted", "1"),
        ("third", "read:0.1", "emitted", "1"),
        ("third", "read:2", "dead-lettered", "1"),
    ]


async def test_the_journal_tells_the_attempt() -> None:
    within = replace(graph(source(), stage()), telemetry=Telemetry(journal=10))

    plan = await planned(stage(), [failed_before(1, 1), failed_before(2, 2)], [FAILURE, FAILURE], within)

    assert [fields(note.fields) for note in part_of(plan).notes] == [
        {"rsq-rid": "read:1", "outcome": "retried", "attempt": "2"},
        {"rsq-rid": "read:2", "outcome": "dead-lettered", "attempt": "3"},
    ]


async def test_a_stage_of_a_chain_that_stops_leaves_the_whole_entry_pending_for_all(tmp_path: Path) -> None:
    planner, work = await fused(tmp_path, [1, 0, 2], "stop")

    plan = planner.plan(work, work.portion)

    assert plan.halted == frozenset((1,))
    assert [one.id for one in part_of(plan).entries] == ["0-0", "2-0"]
    assert str(plan.halt).startswith(f"stage 'third' stopped at record 'read:1' (entry 1-0 of {READ})")
    assert {name: count for name, count in plan.settlement.counts[META].items() if ":in" in name} == {
        "first:in": 2,
        "second:in": 3,
        "third:in": 3,
    }
    assert work.steps[2].dispositions == {2: "halted"}


# Sources


async def entered(folder: Path, numbers: Sequence[int], on_error: str = "dlq") -> Plan:
    """The plan of what a source brings, with a stage fused to it and one dead letter."""
    text = f"""
    read: {{source: {{type: jsonl, path: in.jsonl}}}}
    turn: {{map: {{m: "10 // n"}}, on_error: {on_error}}}
    out: {{sink: {{type: jsonl, path: out.jsonl}}}}
    """
    of = pipeline(folder, text)
    came = [Arrival(f"in:{n}", {"n": n}) for n in numbers]
    arrivals = Arrivals(of, of.stage("read"), "read", structlog.get_logger())
    arrived = arrivals.batch(Chunk.of([*came, Arrival("in:x", None, b"{", "it ends")], "9"))
    steps = await linked(of, "read").process(arrived.batch)
    work = Work(Unpacked(arrived.batch), steps, dict(enumerate(arrived.dead)))
    position = Position(META, "position:read:in", "0", "9")
    return Planner(of, of.stage("read"), random.Random(1)).plan(work, NO_ENTRIES, position)


async def test_what_a_source_brings_moves_its_position(tmp_path: Path) -> None:
    plan = await entered(tmp_path, [1, 2, 0])

    part = part_of(plan)
    assert plan.settlement.position == Position(META, "position:read:in", "0", "9")
    assert plan.settlement.counts[META] == {
        "read:out": 3,
        "read:dead": 1,
        "turn:in": 3,
        "turn:out": 2,
        "turn:dead": 1,
        "appended:{orders}:turn": 2,
    }
    assert not part.entries
    assert [(stream, given["rsq-rid"]) for stream, _, given in records(part.outputs)] == [
        ("{orders}:turn", "read:in:1"),
        ("{orders}:turn", "read:in:2"),
    ]
    assert [(one.stream, fields(one.fields)["rsq-dlq-entry"]) for one in part.dead] == [
        ("{orders}:turn:dlq", "read/read:in:0"),
        ("{orders}:read:dlq", "read/in:x"),
    ]


async def test_where_a_stage_fused_with_a_source_stops_nothing_of_the_chunk_enters(tmp_path: Path) -> None:
    plan = await entered(tmp_path, [1, 2, 0], "stop")

    assert plan.settlement.parts == []
    assert plan.settlement.counts == {}
    assert str(plan.halt).startswith("stage 'turn' stopped at record 'read:in:0' (from source 'read')")
