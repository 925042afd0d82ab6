"""Pipelines of every shape deliver each record to where it belongs, once."""

from __future__ import annotations

import asyncio

import pytest

from rsq_pipe.engine.summary import StageSummary
from tests.integration.engine.lab import READ, Lab
from tests.support.signals import wait_until


async def test_two_stages_that_read_one_stream_both_get_every_record(lab: Lab) -> None:
    lab.records(range(120))
    lab.spec(f"""
        {READ}
        a: {{from: read, map: {{m: n * 2}}}}
        b: {{from: read, filter: n % 2 == 0}}
        doubled: {{from: a, sink: {{type: jsonl, path: out/a.jsonl}}}}
        even: {{from: b, sink: {{type: jsonl, path: out/b.jsonl}}}}
    """)

    summary = await lab.run()

    assert summary.finished
    assert lab.numbers("out/a.jsonl") == list(range(120))
    assert [line["m"] for line in lab.lines("out/a.jsonl")] == [
        2 * line["n"] for line in lab.lines("out/a.jsonl")
    ]
    assert lab.numbers("out/b.jsonl") == list(range(0, 120, 2))
    assert summary.stages["b"] == StageSummary(
        received=120, emitted=60, dropped=60, retried=0, dead=0, drops={"filter": 60}
    )


async def test_a_stage_reads_all_of_a_list(lab: Lab) -> None:
    lab.records(range(50), "in.jsonl")
    lab.records(range(50, 80), "more.json")
    lab.spec("""
        one: {source: {type: jsonl, path: in.jsonl}}
        two: {source: {type: jsonl, path: more.json}}
        both: {from: [one, two], map: {seen: "True"}}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """)

    summary = await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(80))
    assert [summary.stages[name].emitted for name in ("one", "two", "both")] == [50, 30, 80]


async def test_a_handler_sends_records_through_ports_and_splits_them(lab: Lab) -> None:
    lab.records(range(60))
    lab.handlers("""
        from rsq_pipe import Emit

        def sort(record):
            if record["n"] % 3 == 0:
                return Emit(record, to="fizz")
            return [record, Emit({**record, "copy": True}, to="copies")] if record["n"] % 5 == 0 else record
    """)
    lab.spec(f"""
        {READ}
        sort: {{call: "handlers:sort", ports: [fizz, copies]}}
        plain: {{from: sort, sink: {{type: jsonl, path: out/plain.jsonl}}}}
        fizz: {{from: sort.fizz, sink: {{type: jsonl, path: out/fizz.jsonl}}}}
        copies: {{from: sort.copies, sink: {{type: jsonl, path: out/copies.jsonl}}}}
    """)

    await lab.run()

    assert lab.numbers("out/fizz.jsonl") == list(range(0, 60, 3))
    assert lab.numbers("out/plain.jsonl") == [n for n in range(60) if n % 3]
    assert lab.numbers("out/copies.jsonl") == [n for n in range(60) if n % 3 and n % 5 == 0]


async def test_dead_letters_are_another_stages_input_and_stay(lab: Lab) -> None:
    lab.records(range(20))
    lab.handlers("""
        def check(record):
            if record["n"] >= 15:
                raise ValueError("too large")
            return record

        def note(record, ctx):
            return {**record, "why": ctx.headers["rsq-dlq-error"], "rid": ctx.headers["rsq-rid"]}
    """)
    lab.spec(f"""
        {READ}
        validate: {{call: "handlers:check"}}
        good: {{sink: {{type: jsonl, path: out/good.jsonl}}}}
        note: {{from: validate.errors, call: "handlers:note"}}
        bad: {{from: note, sink: {{type: jsonl, path: out/bad.jsonl}}}}
    """)

    summary = await lab.run()

    assert lab.numbers("out/good.jsonl") == list(range(15))
    assert lab.numbers("out/bad.jsonl") == list(range(15, 20))
    assert {line["why"] for line in lab.lines("out/bad.jsonl")} == {"ValueError: too large"}
    assert {line["rid"] for line in lab.lines("out/bad.jsonl")} == {
        f"read:in.jsonl:{n}" for n in range(16, 21)
    }
    assert (summary.dead, len(await lab.dead_letters("validate"))) == (5, 5)


@pytest.fixture
async def relayed(lab: Lab) -> Lab:
    """A pipeline between two streams that others write and read."""
    lab.spec(f"""
        double:
          from: {{stream: {lab.pipeline}-outside}}
          map: {{m: n * 2}}
          to: {{stream: {lab.pipeline}-published}}
    """)
    return lab


async def test_streams_from_outside_are_read_and_streams_for_others_written(relayed: Lab) -> None:
    run = relayed.start()
    for number in range(5):
        await relayed.redis(
            "XADD", f"{relayed.pipeline}-outside", "*", "data", f'{{"n": {number}}}', "colour", "red"
        )

    async def published() -> bool:
        return len(await relayed.entries(f"{relayed.pipeline}-published")) == 5

    await wait_until(published, what="the records came through")
    assert not run.task.done(), "more may come from outside: the run does not end by itself"
    first = (await relayed.entries(f"{relayed.pipeline}-published"))[0][1]
    assert first["data"] == '{"n":0,"m":0}'
    assert first["colour"] == "red"
    assert first["rsq-rid"].startswith(f"{relayed.pipeline}-outside:")
    assert not (await run.stop()).finished


async def test_what_is_no_record_becomes_a_dead_letter_and_the_rest_goes_on(relayed: Lab) -> None:
    for data in ('{"n": 1}', "{broken", '["no", "dict"]', '{"n": 2}'):
        await relayed.redis("XADD", f"{relayed.pipeline}-outside", "*", "data", data)
    await relayed.redis("XADD", f"{relayed.pipeline}-outside", "*", "no", "data")

    run = relayed.start()

    async def all_settled() -> bool:
        published = await relayed.entries(f"{relayed.pipeline}-published")
        return len(published) == 2 and len(await relayed.dead_letters("double")) == 3

    await wait_until(all_settled, what="two records and three dead letters")
    assert {letter.get("data") for letter in await relayed.dead_letters("double")} == {
        "{broken",
        '["no", "dict"]',
        None,
    }
    await run.stop()


async def test_two_workers_handle_two_batches_at_once(lab: Lab) -> None:
    lab.records(range(100))
    lab.handlers("""
        import threading

        both = threading.Barrier(2, timeout=10)
        met = threading.Event()

        def meet(record):
            if not met.is_set():
                both.wait()
                met.set()
            return record
    """)
    lab.spec(f"""
        {READ}
        meet: {{call: "handlers:meet", workers: 2, batch: {{size: 10}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)

    summary = await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(100))
    assert summary.dead == 0


async def test_msgpack_between_stages_changes_nothing_outside(lab: Lab) -> None:
    lab.records(range(30), text="ä")
    lab.spec(f"{READ}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}", top="serializer: msgpack")

    await lab.run()

    assert lab.lines("out/all.jsonl")[0] == {"n": 0, "text": "ä"}
    assert lab.numbers("out/all.jsonl") == list(range(30))


@pytest.mark.parametrize("fuse", ["true", "false"])
async def test_two_runs_at_once_share_the_work_and_both_end(lab: Lab, fuse: str) -> None:
    lab.records(range(2_000))
    lab.spec(f"""
        {READ}
        a: {{map: {{m: n + 1}}, fuse: {fuse}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)

    first, second = lab.start(), lab.start()
    summaries = await asyncio.gather(first.ended(), second.ended())

    assert [summary.finished for summary in summaries] == [True, True]
    assert lab.numbers("out/all.jsonl") == list(range(2_000))


@pytest.mark.parametrize("fuse", ["true", "false"])
async def test_stages_run_apart_end_together_where_the_source_is(lab: Lab, fuse: str) -> None:
    lab.records(range(300))
    lab.spec(f"""
        {READ}
        a: {{map: {{m: n + 1}}, fuse: {fuse}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)

    sinks = [lab.start(stages=["out"]), lab.start(stages=["out"])]
    summary = await lab.run(stages=["read", "a"])

    assert summary.finished
    assert lab.numbers("out/all.jsonl") == list(range(300))
    assert not any(run.task.done() for run in sinks), "more may come: only a run with the sources knows"
    assert [(await run.stop()).finished for run in sinks] == [False, False]


async def test_a_fused_stage_that_is_run_apart_is_fed_through_its_stream(lab: Lab) -> None:
    lab.records(range(300))
    lab.spec(f"""
        {READ}
        a: {{map: {{m: n + 1}}}}
        b: {{filter: n % 2 == 0}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)

    apart = lab.start(stages=["b"])
    summary = await lab.run(stages=["read", "a", "out"])

    assert summary.finished
    assert lab.numbers("out/all.jsonl") == list(range(0, 300, 2))
    assert [summary.stages[name].received for name in ("a", "b")] == [300, 300]
    assert not (await apart.stop()).finished
