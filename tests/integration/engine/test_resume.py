"""Runs go on where the last one ended, whatever ended it."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from rsq_pipe.connectors.files.file_target import FileTarget
from rsq_pipe.engine.presence import Presence
from rsq_pipe.errors import GroupLostError, PipelineBusyError, ServerUnavailableError, SettleError, SinkError
from rsq_pipe.streams.settlement import Settled, Settlement
from tests.integration.engine.lab import READ, Lab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
PLAIN = f"{READ}\n{OUT}"
SLOWLY = """
    import time

    def slow(record):
        time.sleep(0.0005)
        return record
"""
SLOW = f"{READ}\nslow: {{call: 'handlers:slow'}}\n{OUT}"


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


async def test_a_group_that_an_earlier_run_made_and_is_gone_is_not_made_anew_in_silence(lab: Lab) -> None:
    lab.records(range(10))
    lab.spec(PLAIN)
    await lab.run()
    await lab.redis("XGROUP", "DESTROY", lab.key("read"), "out")

    with pytest.raises(GroupLostError, match=r"(?s)stage 'out' lost its place.*XGROUP CREATE.*--fresh"):
        await lab.run()


async def test_the_command_that_is_advised_for_a_lost_stream_makes_the_next_run_go_on(lab: Lab) -> None:
    lab.records(range(10))
    lab.spec(PLAIN)
    await lab.run()
    await lab.redis("DEL", lab.key("read"))
    with pytest.raises(GroupLostError) as lost:
        await lab.run()
    lab.records(range(10, 15))

    (command,) = advised(lost.value)
    await lab.redis(*command)

    await lab.run()
    assert lab.numbers("out/all.jsonl") == list(range(15))


async def test_a_lost_group_goes_on_behind_the_last_entry_that_is_known_to_be_done(lab: Lab) -> None:
    lab.records(range(10))
    lab.spec(PLAIN, top="keep: 1h")
    await lab.run()
    await lab.redis("XGROUP", "DESTROY", lab.key("read"), "out")
    lab.records(range(10, 15))
    with pytest.raises(GroupLostError, match="has done 10 records") as lost:
        await lab.run()

    known, repeat, _skip = advised(lost.value)
    await lab.redis(*known)

    await lab.run()
    assert repeat[-2:] == ["0", "MKSTREAM"]
    assert lab.numbers("out/all.jsonl") == list(range(15))


def advised(error: GroupLostError) -> list[list[str]]:
    """Take the commands for redis-cli out of a message."""
    lines = [line.strip() for line in str(error).splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("redis-cli")]


@pytest.mark.parametrize("loss", ["group", "stream"])
async def test_a_group_lost_in_mid_run_ends_the_run_with_what_can_be_done(lab: Lab, loss: str) -> None:
    lab.records(range(10))
    lab.spec(PLAIN)
    run = await lab.up(stages=["out"])

    if loss == "group":
        await lab.redis("XGROUP", "DESTROY", lab.key("read"), "out")
    else:
        await lab.redis("DEL", lab.key("read"))

    with pytest.raises(GroupLostError, match=r"(?s)stage 'out' lost its place.*XGROUP CREATE.*--fresh"):
        await run.ended()


async def test_a_server_that_lost_all_in_mid_run_is_told_from_a_group_that_was_lost(lab: Lab) -> None:
    lab.records(range(10))
    lab.spec(PLAIN)
    run = await lab.up(stages=["out"])

    await lab.redis("DEL", lab.key("meta"), lab.key("read"), lab.key("out:again"))

    with pytest.raises(GroupLostError, match=r"(?s)has lost all that pipeline .* run .*--fresh") as lost:
        await run.ended()
    assert advised(lost.value) == []


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


async def test_a_source_and_a_sink_that_stand_by_take_over(lab: Lab) -> None:
    lab.records(range(3_000))
    lab.spec(PLAIN, top="max_backlog: 200")
    first = lab.start()
    await written(lab, 100)
    second = await lab.up()

    assert not (await first.stop()).finished
    summary = await second.ended()

    assert summary.finished
    assert lab.numbers("out/all.jsonl") == list(range(3_000))


async def test_a_sink_whose_target_another_process_took_over_stands_by_and_ends_no_run(lab: Lab) -> None:
    lab.records(range(2_000))
    lab.spec(PLAIN, top="max_backlog: 200")
    run = await lab.up()
    await written(lab, 200)
    lease, field = lab.key("out:lease:out/all.jsonl"), "position:out:out/all.jsonl"

    # As it looks to a process that was paused for longer than its lease.
    epoch = await lab.redis("INCR", f"{lease}:epoch")
    await lab.redis("SET", lease, "somebody", "PX", 700)
    # In one step: a position that was read before another batch is settled would lose that one.
    take = "local p = redis.call('HGET', KEYS[1], ARGV[1]):match('|.*') "
    take += "return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. p)"
    await lab.redis("EVAL", take, 1, lab.key("meta"), field, epoch)

    def stands_by() -> bool:
        return any("standing by" in line["event"] for line in logs)

    with capture_logs() as logs:
        await wait_until(stands_by, what="it stands by")
    assert any("another process took over" in line["event"] for line in logs)
    assert not run.task.done()
    assert (await run.ended()).finished
    assert lab.numbers("out/all.jsonl") == list(range(2_000))


async def test_nothing_is_acknowledged_to_a_writer_whose_successor_has_begun_to_open_the_file(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.records(range(3_000))
    lab.handlers(SLOWLY)
    lab.spec(SLOW, top="max_backlog: 200\nreclaim: {idle: 300ms}")
    first = await lab.up()
    await written(lab, 200)
    opening, delayed = FileTarget.open, threading.Event()

    def slowly(target: FileTarget, *args: Any, **settings: Any) -> None:
        # As the copying of a large file: the first writer does not know yet that it has a successor.
        before, end = len(lab.lines_so_far()), time.monotonic() + 1.0
        while not delayed.is_set() and len(lab.lines_so_far()) < before + 60 and time.monotonic() < end:
            time.sleep(0.01)
        delayed.set()
        opening(target, *args, **settings)

    monkeypatch.setattr(FileTarget, "open", slowly)
    await lab.redis("DEL", lab.key("out:lease:out/all.jsonl"))  # it lapsed, in a pause of the server
    second = await lab.up()

    assert (await first.ended()).finished
    assert (await second.ended()).finished
    assert delayed.is_set()
    assert lab.numbers("out/all.jsonl") == list(range(3_000))
    await lab.run()


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


async def written(lab: Lab, lines: int) -> None:
    await wait_until(lambda: len(lab.lines_so_far()) >= lines, what=f"{lines} lines are written")


async def test_a_run_that_waits_for_stages_it_was_not_asked_to_run_says_so_once(lab: Lab) -> None:
    lab.records(range(3))
    lab.spec(PLAIN)

    with capture_logs() as logs:
        run = lab.start(stages=["read"])
        await wait_until(lambda: [entry for entry in logs if "it waits for these" in entry["event"]])
        await run.stop()

    assert [entry["stages"] for entry in logs if "it waits for these" in entry["event"]] == [["out"]]


async def test_lines_whose_settlement_failed_are_not_committed_by_the_next_batch(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.records(range(10))
    # Single entries: a pack that comes back is split, and its lines are not written by the next batch.
    lab.spec(f"{READ[:-1]}, batch: {{size: 1}}}}\n{OUT}", defaults="defaults: {batch: {size: 5}}")
    await _only_read(lab)
    stream = lab.key("read")
    for message in await lab.client.read(stream, "out", "dead", count=5):
        await lab.redis("XCLAIM", stream, "out", "dead", 0, message.id, "IDLE", 10**8, "JUSTID")
    run = lab.start()
    settle, failing = run.client.settle, set[str]()

    async def fail_the_first(settlement: Settlement, **who: str) -> Settled:
        ids = {entry.id for part in settlement.parts for entry in part.entries}
        if settlement.position is None or not ids:
            return await settle(settlement, **who)
        if not failing:
            failing.update(ids)
            run.runner.stop()
        if ids & failing:
            raise ServerUnavailableError("away")
        return await settle(settlement, **who)

    monkeypatch.setattr(run.client, "settle", fail_the_first)
    await run.ended()
    assert len(failing) == 5
    await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(10))


async def _only_read(lab: Lab) -> None:
    run = lab.start(stages=["read"])
    await wait_until(lambda: _holds(lab, 10))
    await run.stop()


async def _holds(lab: Lab, entries: int) -> bool:
    return await lab.client.stream_len(lab.key("read")) >= entries
