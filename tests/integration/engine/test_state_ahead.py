"""A stage that remembers decides a batch while the one before is settled: by what that leaves, or again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.settlement import Settled, Settlement
from rsq_pipe.verbs.aggregate import Aggregate
from rsq_pipe.verbs.dedupe import Dedupe
from rsq_pipe.verbs.join import Join
from tests.integration.engine.lab import Lab
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
TENS = "batch: {size: 10}"


class Held:
    """Settlements of the stage `it`, each held back until the batch behind it has been decided."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.sizes: list[int] = []
        self.ahead = 0

    async def before(self) -> None:
        decided = len(self.sizes)
        # The first tells how quick they are; behind the last none comes.
        if decided > 1 and sum(self.sizes) < self.total:
            await wait_until(lambda: len(self.sizes) > decided, what="the next batch is decided")
            self.ahead += 1


@pytest.fixture
def holding(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Held]:
    def hold(total: int, meanwhile: Callable[[Settlement], Awaitable[None]] | None = None) -> Held:
        held = Held(total)
        settle = StreamConsumer.settle

        async def slow(self: StreamConsumer, settlement: Settlement, dead: int = 0) -> Settled:
            if self.config.group == "it":
                await held.before()
                if meanwhile is not None:
                    await meanwhile(settlement)
            return await settle(self, settlement, dead)

        monkeypatch.setattr(StreamConsumer, "settle", slow)
        for verb in (Dedupe, Join, Aggregate):
            monkeypatch.setattr(verb, "process", counted(verb.process, held))
        return held

    return hold


def counted(
    process: Callable[..., Awaitable[Outcomes]], held: Held
) -> Callable[[object, Batch], Awaitable[Outcomes]]:
    async def patched(self: object, batch: Batch) -> Outcomes:
        found = await process(self, batch)
        held.sizes.append(len(batch))
        return found

    return patched


Holding = Callable[..., Held]


async def test_a_key_of_the_batch_that_is_being_settled_is_a_duplicate(lab: Lab, holding: Holding) -> None:
    lab.spec(
        f"""
        read: {{source: {{type: jsonl, path: "*.jsonl"}}, {TENS}}}
        it: {{dedupe: {{key: key, within: 1h}}, {TENS}}}
        {OUT}
        """
    )
    for n in range(100):
        lab.records([n], key=n * 2 // 3)
    held = holding(100)

    summary = await lab.run()

    assert held.ahead
    assert held.sizes == [10] * 10, "none was decided again"
    assert [line["key"] for line in lab.lines("out/all.jsonl")] == list(range(67))
    assert summary.stages["it"].dropped == 33


async def test_records_of_neighbouring_batches_meet_in_a_join(lab: PackedLab, holding: Holding) -> None:
    for side, field in (("orders", "x"), ("payments", "y")):
        lines = (json.dumps({"n": n, field: n}) + "\n" for n in range(100))
        (lab.root / f"{side}.jsonl").write_text("".join(lines))
    lab.spec(
        f"""
        orders: {{source: {{type: jsonl, path: orders.jsonl}}, {TENS}}}
        payments: {{source: {{type: jsonl, path: payments.jsonl}}, {TENS}}}
        it: {{join: {{left: orders, right: payments, on: n}}, {TENS}}}
        {OUT}
        """
    )
    held = holding(200)

    summary = await lab.run()

    assert held.ahead
    found = Counter((line["x"], line["payments"]["y"]) for line in lab.lines("out/all.jsonl"))
    assert found == Counter((n, n) for n in range(100))
    assert (summary.stages["it"].stored, summary.stages["it"].emitted) == (200, 100)


async def test_partials_of_neighbouring_batches_are_merged(lab: Lab, holding: Holding) -> None:
    lab.spec(
        f"""
        read: {{source: {{type: jsonl, path: "*.jsonl"}}, {TENS}}}
        it: {{aggregate: {{by: [key], compute: {{n: count(), all: sum(n)}}}}, {TENS}}}
        {OUT}
        """
    )
    for n in range(100):
        lab.records([n], key=n % 3)
    held = holding(100)

    await lab.run()

    assert held.ahead
    assert sorted((line["key"], line["n"], line["all"]) for line in lab.lines("out/all.jsonl")) == [
        (key, len(range(key, 100, 3)), sum(range(key, 100, 3))) for key in range(3)
    ]


async def test_where_the_batch_before_is_another_workers_by_now_its_keys_are_no_duplicates(
    lab: PackedLab, holding: Holding
) -> None:
    stream = f"given:{{{lab.pipeline}}}"
    lab.spec(
        f"""
        it: {{from: {{stream: '{stream}'}}, dedupe: {{key: key, within: 1h}}, batch: {{size: 2}}}}
        {OUT}
        """
    )
    ids = [await lab.redis("XADD", stream, "*", "data", f'{{"key":"{key}"}}') for key in "xyabac"]
    taken: list[int] = []

    async def takes_over(settlement: Settlement) -> None:
        if ids[2].decode() in {entry.id for part in settlement.parts for entry in part.entries} and not taken:
            taken.append(len(held.sizes))
            await lab.redis("XACK", stream, "it", ids[2], ids[3])

    held = holding(6, takes_over)
    run = await lab.up()

    async def all_are_done() -> bool:
        return (await lab.state()).counters.get("out:out") == 4

    await wait_until(all_are_done, what="the others are out")
    await run.stop()

    assert taken == [3], "the last batch had been decided"
    assert held.sizes == [2, 2, 2, 2], "and was decided again"
    assert [line["key"] for line in lab.lines("out/all.jsonl")] == ["x", "y", "a", "c"]
