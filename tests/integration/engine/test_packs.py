"""A record that fails, kills or cannot be read leaves its pack alone: its neighbours are done, once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from rsq_pipe.engine.changes import provision
from rsq_pipe.streams.settlement import Settled, Settlement
from tests.integration.engine.killed import idle, killed
from tests.integration.engine.lab import READ, Lab
from tests.integration.engine.leftovers import name_of_the_dead
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"


async def only_read(lab: Lab, records: int) -> None:
    """Have the source alone bring its records, all in one pack."""
    run = await lab.up(stages=["read"])
    await wait_until(lambda: run.runner.state is not None and _brought(lab, records), what="all is read")
    await run.stop()
    assert [fields["rsq-pack"] for _, fields in await lab.entries(lab.key("read"))] == [str(records)]


async def _brought(lab: Lab, records: int) -> bool:
    return await lab.records_in("read") == records


async def test_of_a_pack_whose_worker_died_only_the_record_that_kills_is_condemned(lab: PackedLab) -> None:
    lab.records(range(20))
    lab.handlers("""
        import os, signal

        def work(record):
            if record["n"] == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            return record
    """)
    lab.spec(
        f"""
        {READ}
        work: {{call: "handlers:work", retry: {{deliveries: 3}}}}
        {OUT}
        """,
        top="keep: 1h",
    )
    await only_read(lab, 20)

    deaths = 0
    while not await idle(lab, "work"):
        deaths += await killed(lab)
        assert deaths < 8, "the record that kills is never condemned"
    await lab.run()

    assert deaths == 4, "once with its pack, and three deliveries by itself"
    (letter,) = await lab.dead_letters("work")
    assert (letter["data"], letter["rsq-rid"]) == ('{"n":7}', "read:in.jsonl:8")
    assert letter["rsq-dlq-reason"] == "max_deliveries"
    assert lab.numbers("out/all.jsonl") == [n for n in range(20) if n != 7]
    again = [fields for _, fields in await lab.entries(lab.key("work:again"))]
    assert [fields["rsq-rid"] for fields in again] == [f"read:in.jsonl:{n + 1}" for n in range(20)]
    assert not any("rsq-pack" in fields for fields in again)


async def test_a_record_that_fails_in_the_middle_of_a_pack_is_retried_alone(lab: PackedLab) -> None:
    lab.records(range(10))
    lab.handlers("""
        CALLS = []

        def work(record, ctx):
            CALLS.append((record["n"], ctx.attempt))
            if record["n"] == 4 and ctx.attempt == 1:
                raise ConnectionError("not yet")
            return record
    """)
    lab.spec(
        f"""
        {READ}
        work: {{call: "handlers:work"}}
        {OUT}
        """,
        top="keep: 1h",
        defaults="defaults: {retry: {attempts: 2, backoff: {first: 10m, max: 10m}}}",
    )
    run = await lab.up()
    await wait_until(lambda: len(lab.lines_so_far()) == 9, what="the neighbours went on")
    work = (await lab.state()).stages["work"]
    assert (work.retry, work.pending, work.lag) == (1, 0, 0)
    await run.stop()
    ((member, _),) = [await lab.redis("ZRANGE", lab.key("work:retry"), 0, 0, "WITHSCORES")]
    await lab.redis("ZADD", lab.key("work:retry"), 0, member)

    await lab.run()

    assert sorted(lab.module.CALLS) == sorted([*((n, 1) for n in range(10)), (4, 2)])
    assert lab.numbers("out/all.jsonl") == list(range(10))
    ((_, again),) = await lab.entries(lab.key("work:again"))
    assert (again["data"], again["rsq-rid"]) == ('{"n":4}', "read:in.jsonl:5")


async def test_entries_that_became_one_pack_are_settled_but_for_one_that_was_taken_over(
    lab: PackedLab,
) -> None:
    stream = f"{lab.pipeline}-outside"
    lab.handlers("""
        import threading

        CALLS = []
        begun, go_on = threading.Event(), threading.Event()

        def work(record):
            CALLS.append(record["n"])
            begun.set()
            go_on.wait(40)
            return record
    """)
    lab.spec(f"""
        work: {{from: {{stream: {stream}}}, call: "handlers:work"}}
        {OUT}
    """)
    ids = [await lab.redis("XADD", stream, "*", "data", f'{{"n": {n}}}') for n in range(5)]
    run = await lab.up(stages=["work"])
    await asyncio.to_thread(lab.module.begun.wait, 10)

    await lab.redis("XCLAIM", stream, "work", "another", 0, ids[2])
    lab.module.go_on.set()
    await wait_until(lambda: _holds(lab, "work", 4), what="the others are settled")
    await run.stop()

    assert sorted(lab.module.CALLS) == list(range(5)), "no handler was called again"
    assert [fields["rsq-pack"] for _, fields in await lab.entries(lab.key("work"))] == ["4"]
    pending = await lab.redis("XPENDING", stream, "work", "-", "+", 10)
    assert [(entry[0], entry[1]) for entry in pending] == [(ids[2], b"another")]
    assert await lab.field("work:in") == await lab.field("work:out") == "4"
    await lab.redis("DEL", stream)


async def _holds(lab: Lab, name: str, records: int) -> bool:
    return await lab.records_in(name) == records


async def test_an_entry_that_cannot_be_decoded_is_settled_with_its_batch(
    lab: PackedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = f"{lab.pipeline}-outside"
    lab.handlers("def work(record): return record")
    lab.spec(f"""
        work: {{from: {{stream: {stream}}}, call: "handlers:work"}}
        {OUT}
    """)
    await provision.lay(lab.client, lab.graph)
    for data in ('{"n": 0}', "{half", '{"n": 2}'):
        await lab.redis("XADD", stream, "*", "data", data)
    run = lab.start(stages=["work"])
    settle, seen = run.client.settle, list[Settlement]()

    async def watched(settlement: Settlement, **who: Any) -> Settled:
        seen.append(settlement)
        return await settle(settlement, **who)

    monkeypatch.setattr(run.client, "settle", watched)
    await wait_until(lambda: _holds(lab, "work", 2), what="the records went on")
    await run.stop()

    ((part,),) = [settlement.parts for settlement in seen]
    assert (len(part.entries), len(part.outputs), len(part.dead)) == (3, 1, 1)
    (letter,) = await lab.dead_letters("work")
    assert (letter["data"], letter["rsq-dlq-reason"]) == ("{half", "decode_error")
    assert await lab.redis("XPENDING", stream, "work", "-", "+", 10) == []
    assert [await lab.field(f"work:{what}") for what in ("in", "out", "dead")] == ["3", "2", "1"]
    await lab.redis("DEL", stream)


async def test_a_pack_that_cannot_be_decoded_is_one_dead_letter_also_when_it_comes_back(
    lab: PackedLab,
) -> None:
    lab.records([])
    lab.handlers("def work(record): return record")
    lab.spec(f"""
        {READ}
        work: {{call: "handlers:work"}}
        {OUT}
    """)
    await provision.lay(lab.client, lab.graph)
    read, dead = lab.key("read"), name_of_the_dead("work")
    await lab.append("read", 2)
    await lab.redis("XADD", read, "*", "rsq-pack", "3", "data", "[no pack")
    await lab.redis("XREADGROUP", "GROUP", "work", dead, "STREAMS", read, ">")
    await lab.append("read", 2)
    await lab.redis("XADD", read, "*", "rsq-pack", "3", "data", "{neither")

    assert (await lab.run()).finished

    letters = await lab.dead_letters("work")
    assert Counter((letter["data"], letter["rsq-dlq-reason"]) for letter in letters) == Counter(
        {("[no pack", "decode_error"): 1, ("{neither", "decode_error"): 1}
    )
    assert lab.numbers("out/all.jsonl") == list(range(4))
