"""join: what waits, where it is stored, and when it may be forgotten."""

from __future__ import annotations

import pytest

from rsq_pipe.model.waiting import MET, Waiting, read, written
from rsq_pipe.verbs.windows.buckets import Buckets, listed, spelled
from tests.unit.verbs.joining import HOUR, ORDER, PAYMENT, Remembered, batch, joining, pairs, settled, verb


@pytest.fixture
def state() -> Remembered:
    return Remembered(now=100 * HOUR)


async def test_a_record_waits_as_long_as_it_is_said_and_an_eighth_at_most(state: Remembered) -> None:
    join = verb(state)
    await settled(join, state, batch(ORDER))
    (bucket,) = (name for name in state.hashes if name)

    due = state.timers[bucket] - state.now

    assert HOUR <= due <= HOUR * 9 / 8


async def test_records_of_all_buckets_that_wait_are_found(state: Remembered) -> None:
    join = verb(state)
    for _ in range(4):
        await settled(join, state, batch(ORDER, first=state.now))
        state.now += HOUR // 4

    found = await settled(verb(state), state, batch(PAYMENT))

    assert len(pairs(found)) == 4
    assert len(state.timers) == 5


async def test_without_within_records_wait_until_the_inputs_end(state: Remembered) -> None:
    await settled(verb(state, joining(within=None)), state, batch(ORDER))
    state.now += 10_000 * HOUR

    found = await settled(verb(state, joining(within=None)), state, batch(PAYMENT, first=1))

    assert len(pairs(found)) == 1
    assert state.timers == {"0": 1}


def test_what_waits_is_read_as_it_was_written() -> None:
    one, other = Waiting("a", b'{"n": 1}'), Waiting("b", b"{}", met=True)

    assert read(written([one]) + written([other])) == [one, other]
    assert [waiting.met for waiting in read(written([one]) + MET + written([one]))] == [True, False]


@pytest.mark.parametrize("buckets", [[], [7], [3, 4, 9]])
def test_the_names_of_buckets_are_read_as_they_were_written(buckets: list[int]) -> None:
    assert listed(spelled(buckets).encode()) == buckets


@pytest.mark.parametrize("within", [None, 1, 7, 8, 1_000, HOUR])
def test_what_enters_a_bucket_now_is_kept_long_enough_and_not_after_it_was_closed(within: int | None) -> None:
    buckets = Buckets(within)
    for now in (0, 5, 100 * HOUR, 100 * HOUR + 1):
        for closed in (0, 3, 90 * HOUR, 100 * HOUR, 102 * HOUR):
            due = buckets.due(buckets.current(now, closed))
            assert due > closed
            if within is not None:
                assert due >= now + within
            if within is not None and closed <= now:
                assert due <= now + within + max(1, within // 8)


@pytest.mark.parametrize("within", [None, 3600.0])
async def test_what_was_closed_is_met_by_nothing_that_comes_later(
    state: Remembered, within: float | None
) -> None:
    join = verb(state, joining(within=within))
    await settled(join, state, batch(ORDER))
    (bucket,) = (name for name in state.hashes if name)
    state.hashes[""][b"closed"] = b"%d" % state.timers[bucket]  # as the end of its input does

    found = await settled(join, state, batch(PAYMENT, first=1))

    assert not found.emitted
    assert len(state.timers) == 2, "it waits in another bucket"


async def test_a_batch_that_was_decided_before_others_were_closed_is_processed_again(
    state: Remembered,
) -> None:
    join = verb(state)
    await settled(join, state, batch(ORDER))
    (bucket,) = (name for name in state.hashes if name)
    found = await join.process(batch(PAYMENT, first=1))
    assert found.emitted
    state.hashes[""][b"closed"] = b"%d" % state.timers[bucket]

    assert found.state is not None
    assert state.settle(found.state) == "stale"
