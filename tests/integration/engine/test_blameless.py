"""Records are not blamed for what is not their fault: a target that is gone, a stop, an odd exception."""

from __future__ import annotations

import pytest

from rsq_pipe.connectors.files.file_target import FileTarget
from rsq_pipe.errors import DrainTimeoutError, SinkError
from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"


async def test_a_target_that_cannot_be_written_for_long_condemns_no_record(
    lab: PackedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: FileTarget, data: bytes, *_counts: int) -> None:
        raise SinkError(f"no space left for {len(data)} bytes")

    lab.records(range(10))
    lab.spec(f"{READ}\n{OUT}")
    with monkeypatch.context() as gone:
        gone.setattr(FileTarget, "append", full)
        for _ in range(12):
            with pytest.raises(SinkError):
                await lab.run()

    await lab.run()

    assert await lab.dead_letters("out") == []
    assert lab.numbers("out/all.jsonl") == list(range(10))


async def test_stops_that_a_slow_record_outlasts_do_not_condemn_it(lab: PackedLab) -> None:
    lab.records(range(3))
    lab.handlers("""
        import asyncio

        async def work(record, ctx):
            with (ctx.root / "calls").open("a") as calls:
                calls.write("x")
            await asyncio.sleep(3600)
    """)
    lab.spec(
        f"""
        {READ}
        work: {{call: "handlers:work", timeout: 2h, retry: {{deliveries: 2}}}}
        {OUT}
        """,
        top="reclaim: {idle: 100ms}",
    )
    calls = lab.root / "calls"
    calls.touch()
    for _ in range(5):
        calls.write_text("")
        run = await lab.up(drain_timeout=0.1)
        await wait_until(lambda: calls.read_text() != "", what="the handler is called")
        with pytest.raises(DrainTimeoutError):
            await run.stop()

    assert await lab.dead_letters("work") == []


@pytest.mark.parametrize(
    "returned", ["Reject(42)", "Reject({'a': 1})", "Reject(['no', 'such'])", "raise_odd()", "raise_worse()"]
)
async def test_an_outcome_that_cannot_be_told_is_one_dead_letter(lab: PackedLab, returned: str) -> None:
    lab.records(range(10))
    lab.handlers(f"""
        from rsq_pipe import Reject

        class Worse(Exception):
            def __str__(self):
                raise SystemExit(3)

        def raise_odd():
            raise SyntaxError("x", ("f", "one", object(), "t"))

        def raise_worse():
            raise Worse

        def work(record):
            return {returned} if record["n"] == 4 else record
    """)
    lab.spec(
        f"""
        {READ}
        work: {{call: "handlers:work", retry: {{attempts: 1}}}}
        {OUT}
        """
    )

    await lab.run()

    assert len(await lab.dead_letters("work")) == 1
    assert lab.numbers("out/all.jsonl") == [n for n in range(10) if n != 4]


async def test_a_run_that_comes_to_its_end_waits_for_its_workers_whatever_a_stop_may_take(
    lab: PackedLab,
) -> None:
    lab.records(range(100))
    lab.spec(f"{READ}\nadd: {{map: {{m: n + 1}}, fuse: false}}\n{OUT}", top="drain_timeout: 0s")

    assert (await lab.run()).finished
