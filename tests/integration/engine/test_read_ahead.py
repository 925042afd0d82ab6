"""Two batches under way: a death, a stop and a full stream below treat both as they would treat one."""

from __future__ import annotations

import pytest

from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.settlement import Settled, Settlement
from tests.integration.engine.killed import idle, killed
from tests.integration.engine.lab import READ, Lab
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"


async def test_of_two_batches_that_a_killed_worker_had_only_the_record_that_kills_is_condemned(
    lab: PackedLab,
) -> None:
    lab.records(range(60))
    lab.handlers("""
        import os, signal

        def work(record):
            if record["n"] == 25:
                os.kill(os.getpid(), signal.SIGKILL)
            return record
    """)
    lab.spec(
        f"""
        {READ}
        work: {{call: "handlers:work", batch: {{size: 10}}, retry: {{deliveries: 2}}}}
        {OUT}
        """,
    )
    run = await lab.up(stages=["read"])
    await wait_until(lambda: run.runner.state is not None and _brought(lab, 60), what="all is read")
    await run.stop()

    deaths = 0
    while not await idle(lab, "work"):
        deaths += await killed(lab)
        assert deaths < 8, "the record that kills is never condemned"
    await lab.run()

    (letter,) = await lab.dead_letters("work")
    assert letter["data"] == '{"n":25}'
    assert lab.numbers("out/all.jsonl") == [n for n in range(60) if n != 25]


async def _brought(lab: Lab, records: int) -> bool:
    return await lab.records_in("read") == records


async def test_a_batch_is_handled_while_the_one_before_is_settled_and_settled_after_it(
    lab: PackedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.records(range(50))
    lab.handlers("""
        CALLS = []

        def work(record):
            CALLS.append(record["n"])
            return record
    """)
    lab.spec(
        f"""
        {READ}
        work: {{call: "handlers:work", batch: {{size: 10}}}}
        {OUT}
        """
    )
    ahead: list[int] = []
    order: list[str] = []
    settle = StreamConsumer.settle

    async def slow(self: StreamConsumer, settlement: Settlement, dead: int = 0) -> Settled:
        if self.config.group != "work":
            return await settle(self, settlement, dead)
        calls = len(lab.module.CALLS)
        if 10 < calls < 50:
            # From the second batch on, which tells how quick they are, the next is handled meanwhile.
            await wait_until(lambda: len(lab.module.CALLS) > calls, what="the next batch is handled")
            ahead.append(len(lab.module.CALLS) - calls)
        order.append(settlement.parts[0].entries[0].id)
        return await settle(self, settlement, dead)

    monkeypatch.setattr(StreamConsumer, "settle", slow)

    await lab.run()

    assert ahead
    assert max(ahead) <= 10, "the one after that waits"
    assert order == sorted(order)
    assert lab.numbers("out/all.jsonl") == list(range(50))


async def test_where_a_stage_stops_at_a_record_no_batch_behind_it_is_begun(lab: PackedLab) -> None:
    lab.records(range(50))
    lab.handlers("""
        CALLS = []

        def work(record):
            CALLS.append(record["n"])
            if record["n"] == 25:
                raise ValueError("no")
            return record
    """)
    lab.spec(
        f"""
        {READ}
        work: {{call: "handlers:work", batch: {{size: 10}}, retry: {{attempts: 1}}, on_error: stop}}
        {OUT}
        """
    )

    with pytest.raises(Exception, match="no"):
        await lab.run()

    assert list(range(30)) == lab.module.CALLS
