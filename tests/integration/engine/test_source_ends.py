"""Sources of one pipeline that several runs read: each run ends when all of them have ended."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from rsq_pipe.engine.sources import source_worker
from rsq_pipe.errors import SourceError
from rsq_pipe.ops.status import read_status
from tests.integration.engine.lab import Lab
from tests.support.signals import wait_until

TWO = """
    a: {source: {type: jsonl, path: "a*.jsonl"}}
    b: {source: {type: jsonl, path: "b*"}}
    keep: {from: [a, b], filter: "n >= 0", fuse: false}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""
TOTAL = """
    a: {source: {type: jsonl, path: "a*.jsonl"}}
    b: {source: {type: jsonl, path: "b*"}}
    total: {from: [a, b], aggregate: {by: [k], compute: {count: count()}}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""
WAITS = "all sources of this run have ended; it waits for these: run them too, or stop this one"


@pytest.fixture
def two(lab: Lab) -> Lab:
    lab.records(range(100), path="a.jsonl", k=1)
    lab.records(range(100, 200), path="b.jsonl", k=1)
    lab.spec(TWO)
    return lab


@pytest.mark.parametrize("shares", [(["a", "keep", "out"], ["b"]), (["a", "out"], ["b", "keep"])])
async def test_runs_that_each_read_one_source_end_when_both_have_ended(
    two: Lab, shares: tuple[list[str], list[str]]
) -> None:
    summaries = await asyncio.gather(*(two.run(stages=names) for names in shares))

    assert all(summary.finished for summary in summaries)
    assert sorted(two.numbers("out/all.jsonl")) == list(range(200))


async def test_a_run_says_which_source_it_waits_for_and_how_to_start_it(two: Lab) -> None:
    with capture_logs() as logs:
        run = await two.up(stages=["a", "keep", "out"])
        await wait_until(lambda: run.runner.awaits, what="it waits")

    (waits,) = (line for line in logs if line["event"] == WAITS)
    assert (waits["stages"], waits["mend"]) == (["b"], f"rsq-pipe run {two.path} --stage b")
    assert list(run.runner.awaits) == ["b"]
    assert (await read_status(two.client, two.graph)).awaits == ("b",)
    await two.run(stages=["b"])
    assert (await run.ended()).finished
    assert (await read_status(two.client, two.graph)).awaits == ()
    assert not (await read_status(two.client, two.graph)).unread


async def test_sources_that_all_ended_before_are_waited_for_again(two: Lab) -> None:
    await two.run()
    two.records(range(200, 300), path="a2.jsonl", k=1)
    two.records(range(300, 400), path="b2.jsonl", k=1)

    run = await two.up(stages=["a", "keep", "out"])
    await wait_until(lambda: run.runner.awaits, what="it waits")
    await two.run(stages=["b"])
    await run.ended()

    assert sorted(two.numbers("out/all.jsonl")) == list(range(400))


async def test_a_source_that_ended_before_another_run_began_is_not_waited_for(two: Lab) -> None:
    first = await two.up(stages=["b"])
    await wait_until(lambda: first.runner.awaits, what="it waits")
    await first.stop()

    assert (await two.run(stages=["a", "keep", "out"])).finished
    assert sorted(two.numbers("out/all.jsonl")) == list(range(200))


async def test_windows_close_when_the_sources_of_all_runs_have_ended(two: Lab) -> None:
    two.spec(TOTAL)
    stages = await two.up(stages=["total", "out"])

    await asyncio.gather(two.run(stages=["a"]), two.run(stages=["b"]))

    assert [line["count"] for line in two.lines("out/all.jsonl")] == [200]
    await stages.stop()


async def test_windows_stay_open_where_another_run_could_not_read_its_source(two: Lab) -> None:
    two.spec(TOTAL)
    (two.root / "b2.jsonl.gz").write_bytes(b"no gzip")

    whole = await two.up(stages=["a", "total", "out"])
    with pytest.raises(SourceError, match=r"b2\.jsonl\.gz"):
        await two.run(stages=["b"])
    await whole.ended()

    assert two.lines("out/all.jsonl") == []
    assert (await two.state()).stages["total"].open


async def test_a_process_says_no_more_how_far_a_source_is_that_another_reads_now(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_worker, "SECONDS", 0.4)
    lab.records(range(1_000))
    lab.spec("""
        read: {source: {type: jsonl, path: in.jsonl}, rate: 10/s}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """)
    run = await lab.up()
    await wait_until(lambda: "read" in run.runner.shares)

    await lab.redis("SET", lab.key("read:lease:source"), "another")

    await wait_until(lambda: "read" not in run.runner.shares)
