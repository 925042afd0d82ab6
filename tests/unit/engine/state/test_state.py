"""What a batch makes of a stage's state is settled with all of the batch, or the batch is processed again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rsq_pipe.engine.plan import Work
from rsq_pipe.engine.planner import MAX_BYTES, Planner
from rsq_pipe.model.outcome import Failure, Outcome
from rsq_pipe.model.state import Op, StateChange
from rsq_pipe.spec.graph import Stage, Telemetry
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.settlement import StateOf
from rsq_pipe.streams.wire import is_whole
from tests.unit.engine.given import counts, entry, fields, handled, pack, part_of, portions_of
from tests.unit.engine.stages import graph, source, stage

FINAL = Failure(ValueError("x"), retryable=False)


async def remembering(
    of: Stage,
    came: Sequence[RawEntry],
    outcomes: Sequence[Outcome],
    stored: Sequence[int],
    *,
    journal: int = 0,
) -> tuple[Planner, Work, StateChange]:
    """One batch of a stage that has put some of the records into its state."""
    pipeline = replace(graph(source(), of), telemetry=Telemetry(journal=journal))
    planner, work = await handled(of, came, outcomes, pipeline)
    (step,) = work.steps
    change = StateChange()
    change.lacks("1", ["a"])
    change.set("1", {"a": b"1"})
    step.outcomes.state, step.outcomes.stored = change, stored
    for port in step.outcomes.emitted:
        step.outcomes.emitted[port] = type(step.outcomes.emitted[port])()
        step.written.pop(port)
    step.outcomes.dropped.clear()
    return planner, work, change


async def test_a_change_of_state_is_part_of_the_settlement_and_its_records_are_counted_as_stored() -> None:
    planner, work, change = await remembering(
        stage(), [pack(1, [1, 2]), entry(3)], [{}, FINAL, {}], [0, 2], journal=10
    )

    plan = planner.plan(work, work.portion)

    assert plan.settlement.state == StateOf("{orders}:price:state", "{orders}:price:timers", change)
    assert is_whole(plan.settlement)
    assert counts(plan) == {"in": 3, "stored": 2, "dead": 1}
    notes = [fields(note.fields) for note in part_of(plan).notes]
    assert [(note["rsq-rid"], note["outcome"]) for note in notes] == [
        ("read:1", "stored"),
        ("read:3", "stored"),
        ("read:2", "dead-lettered"),
    ]


async def test_where_a_record_stops_the_stage_nothing_is_settled_by_the_state_that_it_was_part_of() -> None:
    planner, work, _ = await remembering(
        stage(on_error="stop"), [entry(1), entry(2), entry(3)], [{}, FINAL, {}], [0, 2]
    )

    plan = planner.plan(work, work.portion)

    assert (plan.is_void, plan.halted) == (True, frozenset((1,)))
    assert (plan.settlement.parts, plan.settlement.state) == ([], None)
    assert plan.halt is not None


async def test_what_is_left_of_a_batch_is_its_records_of_some_deliveries() -> None:
    planner, work, _ = await remembering(stage(), [pack(1, [1, 2]), entry(3), entry(4)], [{}] * 4, range(4))
    portion = frozenset((0, 2))

    left = work.left(portion)
    again = work.again([], portion)

    assert left.rids == ["read:1", "read:2", "read:4"]
    assert list(left.deliveries) == list(work.unpacked.batch.deliveries)
    assert (work.portion, again.portion, again.again([], frozenset()).portion) == (
        frozenset(range(3)),
        portion,
        frozenset(),
    )
    assert [one.id for one in part_of(planner.plan(again, portion)).entries] == ["1-0", "4-0"]


async def test_a_state_that_is_too_large_for_one_settlement_is_written_in_portions() -> None:
    planner, work, change = await remembering(stage(), [entry(n) for n in range(10)], [{}] * 10, range(10))
    change.writes[:] = [Op("append", "1", ["f", b"x" * 3 * MAX_BYTES])]

    portions = portions_of(planner, work)

    assert sorted(place for portion in portions for place in portion) == list(range(10))
    assert len(portions) >= 3
    part = work.again(work.steps, frozenset(range(5, 10)))
    assert sorted(place for portion in portions_of(planner, part) for place in portion) == list(range(5, 10))
