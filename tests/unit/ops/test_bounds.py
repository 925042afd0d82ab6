"""Which bounds a pipeline passes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rsq_pipe.model.counters import COUNTED
from rsq_pipe.ops.bounds import Bounds
from rsq_pipe.ops.memory_use import MemoryUse
from rsq_pipe.ops.stage_status import StagePause, StageStatus
from rsq_pipe.ops.status import PipelineStatus
from rsq_pipe.streams.memory import Memory

STAGE = StageStatus(
    *("price", "map", "ok"),
    lag=10,
    lag_at_most=10,
    pending=3,
    oldest_seconds=90.0,
    oldest_pending_seconds=60.0,
    retry=1,
    dead=2,
    alive=1,
    gone=0,
    counters=dict.fromkeys(COUNTED, 0),
)


def status(**changes: object) -> PipelineStatus:
    stage = replace(STAGE, **changes)
    return PipelineStatus("orders", "db:6379", 100.0, ran=True, changed=False, runs=(), stages=(stage,))


@pytest.mark.parametrize(
    ("bounds", "passed"),
    [
        (Bounds(), []),
        (Bounds(lag=10, oldest=90.0, dlq=2), []),
        (Bounds(lag=9), ["max-lag"]),
        (Bounds(oldest=89.0), ["max-oldest"]),
        (Bounds(dlq=1), ["max-dlq"]),
        (Bounds(lag=0, oldest=0.0, dlq=0), ["max-lag", "max-oldest", "max-dlq"]),
    ],
    ids=str,
)
def test_a_bound_is_passed_by_more_than_it_says(bounds: Bounds, passed: list[str]) -> None:
    breaches = bounds.breaches(status())

    assert [breach.bound for breach in breaches] == passed
    assert all(breach.stage == "price" and "'price'" in breach.text for breach in breaches)


def test_one_dead_letter_is_told_in_the_singular() -> None:
    (breach,) = Bounds(dlq=0).breaches(status(dead=1))

    assert breach.text == "stage 'price': 1 dead letter; --max-dlq is 0"


def test_a_lag_that_is_unknown_passes_the_bound_where_it_could() -> None:
    bounds = Bounds(lag=50)

    (breach,) = bounds.breaches(status(lag=None, lag_at_most=51))

    assert (breach.seen, breach.limit) == (None, 50)
    assert "unknown, at most 51" in breach.text
    assert not bounds.breaches(status(lag=None, lag_at_most=50))


def test_a_stage_that_lost_its_place_needs_no_bound() -> None:
    (breach,) = Bounds().breaches(status(state="lost", lag=None))

    assert breach.bound == "lost"


FULL = Memory(used=3_000_000, limit=3_145_728, evicts=False)


def test_a_full_server_needs_no_bound_and_says_what_holds_it() -> None:
    (breach,) = Bounds().breaches(replace(status(), memory=FULL))

    assert (breach.bound, breach.stage, breach.seen, breach.limit) == ("full", "", 3_000_000, 3_145_728)
    assert "14 records that wait, most for stage 'price'" in breach.text
    assert "2 of stage 'price'" in breach.text
    assert "raise maxmemory" in breach.text
    assert "rsq-pipe dlq purge" in breach.text
    assert "resume" not in breach.text


def test_on_a_full_server_a_stage_that_somebody_paused_is_to_be_resumed() -> None:
    paused = StagePause("its disk is moved", 0.0, 1.0, held=True)

    (breach,) = Bounds().breaches(replace(status(paused=paused, dead=0), memory=FULL))

    assert "raise maxmemory, or `rsq-pipe resume` what is paused, 'price'" in breach.text
    assert "dlq" not in breach.text


def test_a_full_server_where_a_pipeline_holds_nothing_is_used_by_others() -> None:
    (breach,) = Bounds().breaches(replace(status(lag=0, pending=0, retry=0, dead=0), memory=FULL))

    assert "Nothing of this pipeline is shown to take room" in breach.text
    assert "look at who else uses the server" in breach.text


@pytest.mark.parametrize(
    ("use", "named", "mend"),
    [
        (
            MemoryUse("input", "price", 1 << 20),
            "the input of stage 'price' (14 records to do)",
            "'price' work",
        ),
        (
            MemoryUse("dead", "price", 1 << 20),
            "2 dead letters of stage 'price'",
            "dlq purge` the dead letters",
        ),
        (MemoryUse("state", "price", 1 << 20), "the state of stage 'price'", "smaller `max_keys`"),
        (MemoryUse("published", "sold", 1 << 20), "the published stream 'sold'", "acknowledge 'sold'"),
        (MemoryUse("reports", "", 1 << 20), "journals and counters of the pipeline", "raise maxmemory"),
        (MemoryUse("others", "", 1 << 20), "other keys of the server", "who else uses the server"),
        (MemoryUse("server", "", 1 << 20), "the server itself and its clients", "raise maxmemory"),
    ],
    ids=lambda one: one.what if isinstance(one, MemoryUse) else "",
)
def test_of_a_full_server_only_what_takes_much_is_named_and_to_be_made_less(
    use: MemoryUse, named: str, mend: str
) -> None:
    small = MemoryUse("dead", "other", 80_000)
    full = replace(status(), memory=FULL, runs=("a",), memory_use=(use, small))

    (breach,) = Bounds().breaches(full)

    assert f"Memory is taken by {named} 1.0 MiB: raise maxmemory" in breach.text
    assert mend in breach.text
    assert "'other'" not in breach.text
    assert ("purge" in breach.text) is (use.what == "dead")


@pytest.mark.parametrize(
    ("runs", "changes", "mend"),
    [
        ((), {}, "or run the pipeline"),
        (("a",), {"lag": 0, "pending": 0, "retry": 0}, "or make `keep` shorter"),
    ],
    ids=["nothing runs", "all is handled"],
)
def test_a_large_input_becomes_less_by_what_is_lacking(
    runs: tuple[str, ...], changes: dict[str, object], mend: str
) -> None:
    use = (MemoryUse("input", "price", 1 << 20),)

    (breach,) = Bounds().breaches(replace(status(**changes), memory=FULL, runs=runs, memory_use=use))

    assert mend in breach.text


@pytest.mark.parametrize(
    ("memory", "full"),
    [
        (Memory(used=100 << 20, limit=0, evicts=False), False),
        (Memory(used=100 << 20, limit=100 << 20, evicts=False), True),
        (Memory(used=100 << 20, limit=100 << 20, evicts=True), False),
        (Memory(used=95 << 20, limit=100 << 20, evicts=False), True),
        (Memory(used=94 << 20, limit=100 << 20, evicts=False), False),
    ],
    ids=["no limit", "at the limit", "evicts", "no room for a batch", "room"],
)
def test_a_server_is_full_where_a_batch_has_no_room(memory: Memory, full: bool) -> None:
    assert memory.is_full is full
    assert bool(Bounds().breaches(replace(status(), memory=memory))) is full


@pytest.mark.parametrize("bounds", [Bounds(lag=5), Bounds(oldest=1.0), Bounds(dlq=0)], ids=str)
def test_a_pipeline_that_never_ran_holds_no_bound_and_is_no_breach_without_one(bounds: Bounds) -> None:
    never = replace(status(state="new", lag=0, oldest_seconds=None, dead=0), ran=False)

    (breach,) = bounds.breaches(never)

    assert (breach.bound, breach.stage) == ("never-ran", "")
    assert "db:6379" in breach.text
    assert not Bounds().breaches(never)


@pytest.mark.parametrize(("runs", "drained"), [(("a",), False), ((), True)], ids=["running", "not running"])
def test_a_run_on_a_full_server_is_never_drained(runs: tuple[str, ...], drained: bool) -> None:
    empty = status(lag=0, pending=0, retry=0)

    assert replace(empty, runs=("a",)).drained
    assert replace(empty, runs=runs, memory=FULL).drained is drained


def test_rates_are_records_between_two_looks() -> None:
    before = status(counters={**STAGE.counters, "in": 100})
    after = replace(status(counters={**STAGE.counters, "in": 150}), at=102.0)

    (stage,) = after.since(before).stages

    assert stage.rate == 25.0
    assert before.stages[0].rate is None


def test_rates_are_never_negative() -> None:
    before = status(counters={**STAGE.counters, "in": 100})
    after_fresh = replace(status(), at=101.0)

    assert after_fresh.since(before).stages[0].rate == 0.0
