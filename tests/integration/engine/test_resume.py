"""Runs go on where the last one ended, whatever ended it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.errors import PipelineBusyError, SettleError, SinkError
from tests.integration.engine.lab import READ, Lab
from tests.integration.engine.resuming import OUT, PLAIN, SLOW, SLOWLY, written
from tests.support.signals import wait_until


async def test_a_finished_pipeline_finds_nothing_new(lab: Lab) -> None:
    lab.records(range(30))
    lab.spec(PLAIN)
    assert not (await lab.run()).nothing_new

    again = await lab.run()

    assert again.finished
    assert again.nothing_new
    assert lab.numbers("out/all.jsonl") == list(range(30))


async def test_what_was_added_to_a_file_is_read_by_the_next_run(lab: Lab) -> None:
    lab.records(range(30))
    lab.spec(PLAIN)
    await lab.run()
    lab.records(range(30, 45))
    lab.records(range(100, 105), "second.jsonl")

    summary = await lab.run()

    assert summary.stages["read"].emitted == 20
    assert lab.numbers("out/all.jsonl") == [*range(45), *range(100, 105)]


async def test_fresh_reads_everything_again_and_replaces_what_sinks_wrote(lab: Lab) -> None:
    lab.records(range(30))
    lab.spec(PLAIN)
    await lab.run()

    summary = await lab.run(fresh=True)

    assert summary.stages["out"].emitted == 30
    assert lab.numbers("out/all.jsonl") == list(range(30))


async def test_fresh_is_refused_while_another_run_is_up(lab: Lab) -> None:
    lab.records(range(30))
    lab.spec(PLAIN)
    other = await lab.up(stages=["out"])

    with pytest.raises(PipelineBusyError):
        await lab.run(fresh=True)

    await other.stop()
    assert (await lab.run(fresh=True)).finished


async def test_a_run_whose_last_sign_of_life_is_too_old_does_not_count(lab: Lab) -> None:
    lab.records(range(3))
    lab.spec(PLAIN)
    await lab.redis("ZADD", lab.key("meta:runs"), 1_000, "run-elsewhere")

    assert (await lab.run(fresh=True)).finished

    assert await lab.redis("EXISTS", lab.key("meta:runs")) == 0


async def test_others_are_found_without_a_walk_over_all_keys_of_the_server(lab: Lab) -> None:
    lab.records(range(3))
    lab.spec(PLAIN)
    other = await lab.up()
    before = await scans(lab)

    found = await Presence(lab.client, lab.pipeline).others()

    assert len(found) == 1
    assert await scans(lab) == before
    await other.stop()


async def scans(lab: Lab) -> int:
    """How often the server was asked to SCAN."""
    found = re.search(rb"cmdstat_scan:calls=(\d+)", await lab.redis("INFO", "commandstats"))
    return int(found[1]) if found else 0


async def test_a_run_that_could_not_begin_leaves_no_sign_of_life(lab: Lab) -> None:
    lab.records(range(3))
    lab.spec(PLAIN)
    await lab.redis("SET", lab.key("read"), "a string")
    for _ in range(2):
        with pytest.raises(
            SettleError, match=r":read' holds a string, and pipeline '.*' needs a stream there"
        ):
            await lab.run()
    await lab.redis("DEL", lab.key("read"))

    assert (await lab.run(fresh=True)).finished


async def test_an_interrupted_read_resumes_exactly(lab: Lab) -> None:
    lab.records(range(3_000))
    lab.handlers("""
        import threading

        reached = threading.Event()

        def count(record):
            if record["n"] >= 700:
                reached.set()
            return record
    """)
    lab.spec(
        f"""
        {READ}
        count: {{call: "handlers:count"}}
        {OUT}
    """,
        top="max_backlog: 400",
    )
    first = await lab.up()
    await asyncio.to_thread(lab.module.reached.wait, 10)
    summary = await first.stop()
    assert not summary.finished
    assert 700 <= summary.stages["read"].emitted < 3_000

    rest = await lab.run()

    assert rest.stages["read"].emitted + summary.stages["read"].emitted == 3_000
    assert lab.numbers("out/all.jsonl") == list(range(3_000))


async def test_a_run_cut_off_in_the_middle_loses_and_repeats_nothing(lab: Lab) -> None:
    lab.records(range(2_000))
    lab.spec(PLAIN, top="max_backlog: 300")
    for wanted in (200, 900, 1_500):
        run = lab.start()
        await written(lab, wanted)
        await run.abandon()

    await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(2_000))


async def test_a_target_that_this_pipeline_did_not_write_ends_the_run_and_keeps_the_records(lab: Lab) -> None:
    lab.records(range(10))
    lab.spec(PLAIN)
    (lab.root / "out").mkdir()
    (lab.root / "out/all.jsonl").write_text("precious\n")

    with pytest.raises(SinkError, match="was not written by this pipeline"):
        await lab.run()
    assert (lab.root / "out/all.jsonl").read_text() == "precious\n"

    (lab.root / "out/all.jsonl").unlink()
    await lab.run()
    assert lab.numbers("out/all.jsonl") == list(range(10))


def moved(path: Path) -> None:
    path.rename(path.with_name("moved.jsonl"))


def emptied(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize(
    ("harm", "why"), [(moved, "it was moved away"), (emptied, "is not the file this pipeline wrote")]
)
async def test_a_file_that_is_harmed_in_mid_run_ends_the_run_and_gets_nothing_more(
    lab: Lab, harm: Callable[[Path], None], why: str
) -> None:
    lab.records(range(3_000))
    lab.handlers(SLOWLY)
    lab.spec(SLOW, top="max_backlog: 200")
    run = await lab.up()
    await written(lab, 200)
    path = lab.root / "out/all.jsonl"

    harm(path)

    with pytest.raises(SinkError, match=why):
        await run.ended()
    assert not path.exists() or path.stat().st_size == 0
    if harm is moved:  # then each record stands in one of the two files, as the rules for a rotated one say
        await lab.run()
        found = [*lab.numbers("out/moved.jsonl"), *lab.numbers("out/all.jsonl")]
        assert sorted(found) == list(range(3_000))


async def test_a_run_that_is_told_to_stop_at_once_stops_and_does_nothing(lab: Lab) -> None:
    lab.records(range(1_000))
    lab.spec(PLAIN)

    run = lab.start()
    run.runner.stop()
    summary = await run.ended()

    assert not summary.finished
    assert (await lab.run()).finished
    assert lab.numbers("out/all.jsonl") == list(range(1_000))


async def test_a_run_that_waits_for_stages_it_was_not_asked_to_run_says_so_once(lab: Lab) -> None:
    lab.records(range(3))
    lab.spec(PLAIN)

    with capture_logs() as logs:
        run = lab.start(stages=["read"])
        await wait_until(lambda: [entry for entry in logs if "it waits for these" in entry["event"]])
        await run.stop()

    assert [entry["stages"] for entry in logs if "it waits for these" in entry["event"]] == [["out"]]
