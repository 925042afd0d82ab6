"""Streams that others write: their entries become records, and what is none a dead letter as it stood."""

from __future__ import annotations

import asyncio
from typing import Any

from structlog.testing import capture_logs

from rsq_pipe.engine.state.state import read_state
from rsq_pipe.model.pack import JsonPacks
from rsq_pipe.ops.peek import peek
from tests.integration.engine.lab import Lab
from tests.support.command_line import rsq_pipe
from tests.support.signals import wait_until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def spec(lab: Lab, form: str) -> str:
    """Write a pipeline that reads a stream into a file; return the stream's key."""
    stream = f"{lab.pipeline}-events"
    lab.spec(f"""
        events: {{source: {{type: stream, stream: {stream}, {form}}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl, rid: true}}}}
    """)
    return stream


async def letters(lab: Lab, stage: str = "events") -> list[dict[str, str]]:
    found = await lab.redis("XRANGE", lab.key(f"{stage}:dlq"), "-", "+")
    return [
        {name.decode(): value.decode() for name, value in zip(fields[::2], fields[1::2], strict=True)}
        for _, fields in found
    ]


async def written(lab: Lab, count: int, **settings: Any) -> list[dict[str, Any]]:
    """Run until so many records have ended, in the file or as dead letters."""
    run = await lab.up(**settings)

    async def ended() -> int:
        return len(lab.lines_so_far()) + len(await letters(lab))

    async def all_ended() -> bool:
        return await ended() >= count

    await wait_until(all_ended, what="all records have ended")
    await run.stop()
    return lab.lines("out/all.jsonl")


async def test_plain_fields_become_a_record_with_types_and_the_id_of_the_entry(lab: Lab) -> None:
    stream = spec(lab, "format: fields, types: {total: float}")
    await lab.redis("XADD", stream, "7-0", "customer", "ada", "total", "12", "traceparent", TRACE)

    assert await written(lab, 1) == [{"rid": f"{stream}:7-0", "customer": "ada", "total": 12.0}]


async def test_a_value_of_another_type_is_a_dead_letter_with_its_raw_fields_and_takes_no_other_down(
    lab: Lab,
) -> None:
    stream = spec(lab, "format: fields, types: {total: float}")
    for number, total in enumerate(("1", "two", "3")):
        await lab.redis("XADD", stream, f"7-{number}", "customer", f"c{number}", "total", total)

    assert [line["customer"] for line in await written(lab, 3)] == ["c0", "c2"]
    (letter,) = await letters(lab)
    assert (letter["customer"], letter["total"], letter["rsq-rid"]) == ("c1", "two", f"{stream}:7-1")
    assert "its field 'total' is not of type float: 'two'" in letter["rsq-dlq-error"]


async def test_a_dead_letter_of_a_foreign_stream_is_read_by_its_streams_form_when_it_is_replayed(
    lab: Lab,
) -> None:
    stream = spec(lab, "format: fields, types: {total: float}")
    await lab.redis("XADD", stream, "7-0", "customer", "ada", "total", "two")
    await written(lab, 1)
    spec(lab, "format: fields")  # its text is as good

    command = ("dlq", "replay", lab.path, "--yes", "--redis", lab.url)
    done = await asyncio.to_thread(rsq_pipe, *command, cwd=lab.root)

    assert done.returncode == 0, done.stderr
    assert await written(lab, 1) == [{"rid": f"{stream}:7-0", "customer": "ada", "total": "two"}]
    assert await letters(lab) == []


async def test_a_record_that_fails_in_a_handler_is_retried_and_dead_lettered_as_a_record(lab: Lab) -> None:
    stream = f"{lab.pipeline}-events"
    lab.handlers("def refuse(record, ctx):\n    raise ValueError('no')")
    lab.spec(
        f"refuse: {{from: {{stream: {stream}, format: fields, types: {{n: int}}}}, call: 'handlers:refuse'}}"
    )
    await lab.redis("XADD", stream, "7-0", "n", "1", "traceparent", TRACE)

    run = await lab.up()
    found = await wait_until(lambda: letters(lab, "refuse"), what="the record failed for good")
    await run.stop()

    assert (found[0]["data"], found[0]["rsq-dlq-attempts"]) == ('{"n":1}', "3")
    assert found[0]["traceparent"].split("-")[1] == TRACE.split("-")[1]
    assert "n" not in found[0]


async def test_a_group_that_another_pipeline_reads_through_is_told_of_once(lab: Lab) -> None:
    stream = spec(lab, "format: fields")
    await lab.redis("XGROUP", "CREATE", stream, "events", "0", "MKSTREAM")

    told = []
    for _ in range(2):
        with capture_logs() as lines:
            run = await lab.up()
            await run.stop()
        told.append(
            [(line["stream"], line["group"]) for line in lines if "group of this name" in line["event"]]
        )

    assert told == [[(stream, "events")], []]


async def test_a_first_run_with_fresh_leaves_the_group_of_another_pipeline_where_it_is(lab: Lab) -> None:
    stream = spec(lab, "format: fields")
    await lab.redis("XADD", stream, "7-0", "n", "1")
    await lab.redis("XGROUP", "CREATE", stream, "events", "0")
    await lab.redis("XREADGROUP", "GROUP", "events", "other", "STREAMS", stream, ">")

    run = await lab.up(fresh=True)
    await run.stop()

    (pending,) = await lab.redis("XPENDING", stream, "events", "-", "+", 10)
    assert pending[:2] == [b"7-0", b"other"]


async def test_a_run_with_fresh_reads_a_stream_from_outside_again(lab: Lab) -> None:
    stream = spec(lab, "format: fields")
    await lab.redis("XADD", stream, "7-0", "n", "1")
    first = await written(lab, 1)
    (lab.root / "out/all.jsonl").unlink()

    assert await written(lab, 1, fresh=True) == first


async def test_a_group_of_ones_own_is_not_told_of(lab: Lab) -> None:
    stream = spec(lab, "format: fields")
    await lab.redis("XADD", stream, "7-0", "n", "1")

    with capture_logs() as lines:
        await written(lab, 1)
        await written(lab, 1)

    assert not [line for line in lines if "group of this name" in line["event"]]


async def test_one_field_holds_json(lab: Lab) -> None:
    stream = spec(lab, "format: json, field: payload")
    await lab.redis("XADD", stream, "7-0", "kind", "order", "payload", '{"n": 1}')
    await lab.redis("XADD", stream, "8-0", "kind", "order", "payload", '{"n": ')

    assert await written(lab, 2) == [{"rid": f"{stream}:7-0", "n": 1}]
    (letter,) = await letters(lab)
    assert (letter["payload"], letter["kind"]) == ('{"n": ', "order")


async def test_a_stage_begins_where_start_says_and_goes_on_where_it_ended(lab: Lab) -> None:
    stream = spec(lab, "format: fields, start: $")
    await lab.redis("XADD", stream, "7-0", "n", "before")
    run = await lab.up()
    await lab.redis("XADD", stream, "8-0", "n", "after")
    await wait_until(lambda: len(lab.lines_so_far()) == 1, what="what came then is written")
    await run.stop()
    await lab.redis("XADD", stream, "9-0", "n", "between")

    assert [line["n"] for line in await written(lab, 2)] == ["after", "between"]


async def test_a_stage_begins_behind_an_entry(lab: Lab) -> None:
    stream = spec(lab, "format: fields, start: 7-0")
    for number in (7, 8):
        await lab.redis("XADD", stream, f"{number}-0", "n", str(number))

    assert [line["n"] for line in await written(lab, 1)] == ["8"]


async def test_an_entry_from_outside_that_says_it_is_a_pack_is_one_record_for_worker_and_peek(
    lab: Lab,
) -> None:
    stream = spec(lab, "start: 0")
    packed = JsonPacks().encode([{"n": 1}, {"n": 2}], ["a:1", "a:2"], {})
    await lab.redis("XADD", stream, "7-0", "rsq-pack", "999999", "data", '{"n": 0}')
    await lab.redis("XADD", stream, "8-0", "rsq-pack", "2", "data", packed)
    shown = [one async for one in peek(lab.client, lab.graph, lab.graph.stage("events"))]

    assert await written(lab, 2) == [{"rid": f"{stream}:7-0", "n": 0}]
    assert [(one.rid, one.headers) for one in shown] == [(f"{stream}:7-0", {}), (f"{stream}:8-0", {})]
    (letter,) = await letters(lab)  # a list is not a record
    assert next(iter(letter)) == "data"
    assert "rsq-pack" not in letter
    state = await read_state(lab.client, lab.graph)
    assert (state.counters["events:in"], state.counters["events:dead"]) == (2, 1)


async def test_peek_shows_records_of_fields_as_records(lab: Lab) -> None:
    stream = spec(lab, "format: fields, types: {n: int}")
    await lab.redis("XADD", stream, "7-0", "n", "1", "traceparent", TRACE)
    await lab.redis("XADD", stream, "8-0", "n", "one")

    shown = [one async for one in peek(lab.client, lab.graph, lab.graph.stage("events"))]

    assert [(one.raw, one.headers) for one in shown] == [
        (b'{"n":1}', {"traceparent": TRACE}),
        (b"", {"n": "one"}),
    ]
