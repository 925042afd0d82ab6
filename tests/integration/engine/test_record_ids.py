"""Record ids are the same in every attempt, and tell apart whatever may have to be told apart."""

from __future__ import annotations

import pytest

from tests.integration.engine.lab import READ, Lab
from tests.support.signals import wait_until


async def test_a_record_from_outside_has_one_id_in_every_attempt(lab: Lab) -> None:
    clicks, views = f"{lab.pipeline}-clicks", f"{lab.pipeline}-views"
    lab.handlers("""
        CALLS = []

        def pay(record, ctx):
            CALLS.append((record["n"], ctx.rid, ctx.attempt))
            if ctx.attempt == 1:
                raise ConnectionError("try again")
    """)
    lab.spec(f"""
        pay:
          from: [{{stream: {clicks}}}, {{stream: {views}}}]
          call: "handlers:pay"
          retry: {{attempts: 2, backoff: {{first: 10ms}}}}
    """)
    for number, stream in enumerate((clicks, views)):
        await lab.redis("XADD", stream, "7-0", "data", f'{{"n": {number}}}')

    run = lab.start()
    await wait_until(lambda: len(lab.module.CALLS) == 4, what="both records were tried twice")
    await run.stop()

    assert sorted(lab.module.CALLS) == [
        *((0, f"{clicks}:7-0", 1), (0, f"{clicks}:7-0", 2)),
        *((1, f"{views}:7-0", 1), (1, f"{views}:7-0", 2)),
    ]


async def test_a_sink_writes_the_record_ids_that_its_handlers_saw(lab: Lab) -> None:
    lab.records(range(3))
    lab.handlers("def seen(record, ctx):\n    return record | {'seen': ctx.rid}")
    lab.spec(f"""
        {READ}
        seen: {{call: "handlers:seen"}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl, rid: true}}}}
    """)

    await lab.run()

    lines = lab.lines("out/all.jsonl")
    assert [line["rid"] for line in lines] == [line["seen"] for line in lines]
    assert [line["rid"] for line in lines] == [f"read:in.jsonl:{n}" for n in (1, 2, 3)]


async def test_branches_of_one_record_have_ids_of_their_own_where_they_meet(lab: Lab) -> None:
    lab.records(range(3))
    lab.handlers("""
        def note(record, ctx):
            if ctx.attempt == 1:
                raise ConnectionError("try again")
            return {**record, "rid": ctx.rid}
    """)
    lab.spec(f"""
        {READ}
        a: {{from: read, map: {{way: "'a'"}}}}
        b: {{from: read, map: {{way: "'b'"}}}}
        both:
          from: [a, b]
          call: "handlers:note"
          breaker: false  # or one attempt after the other would not count
          retry: {{attempts: 2, backoff: {{first: 10ms}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)

    await lab.run()

    assert {line["rid"] for line in lab.lines("out/all.jsonl")} == {
        f"read:in.jsonl:{n}@{way}" for n in (1, 2, 3) for way in "ab"
    }


async def test_headers_from_outside_are_the_outsiders_and_decide_nothing(lab: Lab) -> None:
    stream = f"{lab.pipeline}-outside"
    lab.handlers("""
        SEEN = []

        def work(record, ctx):
            SEEN.append((ctx.attempt, dict(ctx.headers)))
            if len(SEEN) < 3:
                raise ConnectionError("try again")
    """)
    lab.spec(f"""
        work:
          from: {{stream: {stream}}}
          call: "handlers:work"
          retry: {{attempts: 3, backoff: {{first: 10ms}}}}
    """)
    theirs = {"attempts": "7", "rid": "17", "dlq-reason": "x"}
    forged = {"rsq-attempts": "7", "rsq-rid": ""}
    fields = [item for pair in (theirs | forged).items() for item in pair]
    await lab.redis("XADD", stream, "7-0", "data", "{}", *fields)

    run = lab.start()
    await wait_until(lambda: len(lab.module.SEEN) == 3, what="the record was tried three times")
    await run.stop()

    rid = {"rsq-rid": f"{stream}:7-0"}
    assert [
        (1, theirs | rid),
        (2, theirs | rid | {"rsq-attempts": "1"}),
        (3, theirs | rid | {"rsq-attempts": "2"}),
    ] == lab.module.SEEN
    assert await lab.dead_letters("work") == []


async def test_an_entry_as_wide_as_may_be_gets_through_every_stage(lab: Lab) -> None:
    stream, published = f"{lab.pipeline}-outside", f"{lab.pipeline}-published"
    lab.spec(f"""
        one: {{from: {{stream: {stream}}}, map: {{m: n}}}}
        two: {{map: {{k: m}}, to: {{stream: {published}}}}}
    """)
    wide = [item for number in range(999) for item in (f"h{number}", "x")]
    await lab.redis("XADD", stream, "*", "data", '{"n": 1}', *wide)

    run = lab.start()

    async def through() -> bool:
        return bool(await lab.entries(published))

    await wait_until(through, what="the entry came through")
    await run.stop()

    [(_, fields)] = await lab.entries(published)
    assert len(fields) == 1_001
    assert fields["data"] == '{"n":1,"m":1,"k":1}'


async def test_what_the_release_before_left_behind_goes_on(lab: Lab) -> None:
    lab.handlers("""
        SEEN = {}

        def work(record, ctx):
            SEEN[record["n"]] = (ctx.rid, ctx.attempt)
            return record
    """)
    lab.records([9])
    lab.spec(f"""
        {READ}
        work: {{call: "handlers:work", retry: {{attempts: 3}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)
    await lab.redis("XADD", lab.key("read"), "*", "data", '{"n":1}', "rid", "read:in.jsonl:5")
    await lab.redis(
        *("XADD", lab.key("work:again"), "*", "data", '{"n":2}', "rid", "read:in.jsonl:6", "attempts", "2")
    )

    await lab.run()

    assert lab.module.SEEN == {
        9: ("read:in.jsonl:1", 1),
        1: ("read:in.jsonl:5", 1),
        2: ("read:in.jsonl:6", 3),
    }


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
async def test_a_number_that_is_none_is_a_dead_letter_and_never_null(lab: Lab, serializer: str) -> None:
    lab.records(range(3))
    lab.handlers("""
        def work(record):
            return {**record, "n": float("nan")} if record["n"] == 1 else record
    """)
    lab.spec(
        f"""
        {READ}
        work: {{call: "handlers:work"}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """,
        top=f"serializer: {serializer}",
    )

    await lab.run()

    assert lab.numbers("out/all.jsonl") == [0, 2]
    stage = "work" if serializer == "json" else "out"
    [(_, fields)] = await lab.redis("XRANGE", lab.key(f"{stage}:dlq"), "-", "+")
    assert b"$.n is not a finite number" in fields[fields.index(b"rsq-dlq-error") + 1]
