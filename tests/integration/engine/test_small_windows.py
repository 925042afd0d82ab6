"""Windows with few groups each are closed together: several in one settlement, each result once."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.windows.result_sender import ResultSender
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.state import StateChange
from tests.integration.engine.aggregating import HOURLY, expected, put, results, stored
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

HOURS = 24


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many results each settlement had."""
    sizes: list[int] = []
    send = ResultSender.send

    async def counted(self: ResultSender, batch: Batch, change: StateChange) -> bool:
        sizes.append(len(batch.records))
        return await send(self, batch, change)

    monkeypatch.setattr(ResultSender, "send", counted)
    return sizes


@pytest.mark.parametrize(
    ("portion", "settlements"),
    [(500, [72]), (7, [6] * 12), (3, [3] * 24), (2, [3] * 24)],
    ids=["all in one", "two at a time", "one fills it", "one is too large"],
)
async def test_as_many_windows_are_closed_at_once_as_their_results_fit_in_a_settlement(
    lab: PackedLab, sent: list[int], monkeypatch: pytest.MonkeyPatch, portion: int, settlements: list[int]
) -> None:
    monkeypatch.setattr("rsq_pipe.engine.windows.closer.PORTION", portion)
    put(lab, range(60 * HOURS))
    lab.spec(HOURLY)

    await lab.run()

    assert results(lab) == expected(range(60 * HOURS))
    assert [size for size in sent if size] == settlements
    assert await lab.redis("EXISTS", lab.key("hourly:timers")) == 0
    assert await lab.redis("HGET", lab.key("hourly:state"), "keys") == b"0"


async def test_a_large_window_among_small_ones_is_sent_by_itself(
    lab: PackedLab, sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsq_pipe.engine.windows.closer.PORTION", 10)
    lab.records([n for hour in range(HOURS) if hour != 12 for n in (hour * 60, hour * 60 + 1)])
    lab.records(range(12 * 60, 12 * 60 + 40), path="large.jsonl")
    lab.spec(HOURLY.replace("by: [k]", "by: {k: n}"))

    await lab.run()

    lines = lab.lines("out/all.jsonl")
    assert len({(line["window_start"], line["k"]) for line in lines}) == len(lines) == 23 * 2 + 40
    assert len(sent) < HOURS


async def test_the_next_run_closes_together_what_a_killed_one_had_begun_to_close(lab: PackedLab) -> None:
    put(lab, range(60 * HOURS))
    lab.spec(HOURLY)
    run = await lab.up(stages=["read", "hourly"])
    await wait_until(lambda: stored(lab, 60 * HOURS), what="all is stored")
    await run.abandon()
    # As if it had been killed between the two steps of closing.
    await lab.redis("HSET", lab.key("hourly:state"), "closed", HOURS // 2 * 3_600_000)

    await lab.run()

    assert results(lab) == expected(range(60 * HOURS))
