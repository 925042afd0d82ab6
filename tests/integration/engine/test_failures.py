"""A record that fails is put off, comes back to its stage alone, and ends as a dead letter."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from rsq_pipe.engine.summary import StageSummary
from rsq_pipe.errors import HandlerError
from tests.integration.engine.lab import READ, Lab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"


async def test_a_record_that_fails_twice_comes_back_twice_and_goes_on(lab: Lab) -> None:
    lab.records(range(10))
    lab.handlers("""
        seen = []

        def flaky(record, ctx):
            if record["n"] == 3:
                seen.append(ctx.attempt)
                if len(seen) < 3:
                    raise RuntimeError("not yet")
            return record
    """)
    lab.spec(f"""
        {READ}
        flaky: {{call: "handlers:flaky"}}
        {OUT}
    """)

    summary = await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(10))
    assert lab.module.seen == [1, 2, 3]
    assert summary.stages["flaky"] == StageSummary(received=12, emitted=10, dropped=0, retried=2, dead=0)


async def test_a_retry_is_seen_by_no_other_stage_on_the_same_stream(lab: Lab) -> None:
    lab.records(range(10))
    lab.handlers("""
        failed = set()

        def flaky(record):
            if record["n"] % 2 and record["n"] not in failed:
                failed.add(record["n"])
                raise RuntimeError("not yet")
            return record
    """)
    lab.spec(f"""
        {READ}
        flaky: {{call: "handlers:flaky"}}
        other: {{from: read, sink: {{type: jsonl, path: out/other.jsonl}}}}
        out: {{from: flaky, sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)

    summary = await lab.run()

    assert summary.stages["flaky"].retried == 5
    assert lab.numbers("out/all.jsonl") == list(range(10))
    assert lab.numbers("out/other.jsonl") == list(range(10))


async def test_retries_keep_to_their_pauses_and_block_nobody(lab: Lab) -> None:
    lab.records(range(20))
    lab.handlers("""
        import time

        calls, others = [], []

        def flaky(record):
            if record["n"] == 0:
                calls.append(time.monotonic())
                raise RuntimeError("never")
            others.append(time.monotonic())
            return record
    """)
    lab.spec(
        f"""
        {READ}
        flaky: {{call: "handlers:flaky", batch: {{size: 1}}}}
        {OUT}
        """,
        defaults="defaults: {retry: {attempts: 3, backoff: {first: 300ms, max: 9s, jitter: 0}}}",
    )

    summary = await lab.run()

    first, second, third = lab.module.calls
    assert second - first >= 0.3
    assert third - second >= 0.6
    assert max(lab.module.others) < second
    assert summary.dead == 1


async def test_a_dead_letter_holds_the_record_and_all_about_its_failure(lab: Lab) -> None:
    (lab.root / "in.jsonl").write_text('{"n": 1}\n{ "n" : 2.50,  "text":"ä" }\n')
    lab.handlers("""
        def price(record):
            if record["n"] != 1:
                raise KeyError("no such product")
            return record
    """)
    lab.spec(f"""
        {READ}
        price: {{call: "handlers:price"}}
        {OUT}
    """)

    summary = await lab.run()

    (entry,) = await lab.entries(lab.key("price:dlq"))
    letter = entry[1]
    traceback = letter.pop("rsq-dlq-traceback")
    assert 'raise KeyError("no such product")' in traceback
    assert "rsq_pipe" not in traceback, "our own frames explain nothing to whoever reads it"
    where, _, entry_id = letter.pop("rsq-dlq-entry").rpartition("/")
    assert where == lab.key("price:again"), "the third attempt came from the stage's own stream"
    assert "-" in entry_id
    assert float(letter.pop("rsq-dlq-at")) > 1_700_000_000
    assert letter == {
        "data": '{"n":2.5,"text":"ä"}',
        "rsq-rid": "read:in.jsonl:2",
        "rsq-attempts": "2",
        "rsq-dlq-reason": "handler_error",
        "rsq-dlq-error": "KeyError: 'no such product'",
        "rsq-dlq-stage": "price",
        "rsq-dlq-attempts": "3",
    }
    assert (summary.dead, summary.dead_letters) == (1, 1)
    assert lab.numbers("out/all.jsonl") == [1]


async def test_the_dead_letter_of_an_entry_from_outside_holds_its_bytes_as_they_came(lab: Lab) -> None:
    stream, text = f"{lab.pipeline}-outside", '{ "n" : 2.50,  "text":"ä" }'
    lab.handlers("def price(record):\n    raise KeyError('no such product')")
    lab.spec(f"""
        price: {{from: {{stream: {stream}}}, call: "handlers:price"}}
    """)
    await lab.redis("XADD", stream, "*", "data", text, "tenant", "a")

    run = await lab.up()
    letters = await wait_until(lambda: lab.dead_letters("price"), what="it has failed for good")
    await run.stop()

    assert [(letter["data"], letter["tenant"], letter["rsq-dlq-attempts"]) for letter in letters] == [
        (text, "a", "3")
    ]


async def test_a_rejected_record_is_a_dead_letter_without_another_attempt(lab: Lab) -> None:
    lab.records(range(5))
    lab.handlers("""
        from rsq_pipe import Reject

        def check(record):
            return Reject("not ours") if record["n"] == 2 else record
    """)
    lab.spec(f"""
        {READ}
        check: {{call: "handlers:check"}}
        {OUT}
    """)

    summary = await lab.run()

    (letter,) = await lab.dead_letters("check")
    assert (letter["rsq-dlq-reason"], letter["rsq-dlq-error"], letter["rsq-dlq-attempts"]) == (
        "rejected",
        "not ours",
        "1",
    )
    assert summary.stages["check"].retried == 0


async def test_a_line_that_is_no_record_is_a_dead_letter_of_its_source(lab: Lab) -> None:
    (lab.root / "in.jsonl").write_text('{"n": 1}\n{broken\n{"n": 3}\n')
    lab.spec(f"{READ}\n{OUT}")

    summary = await lab.run()

    (letter,) = await lab.dead_letters("read")
    assert letter["data"] == "{broken"
    assert (letter["rsq-rid"], letter["rsq-dlq-reason"]) == ("read:in.jsonl:2", "decode_error")
    assert lab.numbers("out/all.jsonl") == [1, 3]
    assert summary.stages["read"] == StageSummary(received=3, emitted=2, dropped=0, retried=0, dead=1)


async def test_entries_that_cannot_be_decoded_are_told_of_in_the_log_once_for_all(lab: Lab) -> None:
    lab.spec(f"""
        keep: {{from: {{stream: "{lab.pipeline}-feed"}}, filter: "True"}}
        {OUT}
    """)
    for _ in range(5):
        await lab.redis("XADD", f"{lab.pipeline}-feed", "*", "data", "{half")

    with capture_logs() as logs:
        run = await lab.up()
        await wait_until(lambda: dead(lab, 5), what="five dead letters")
        await run.stop()

    told = [entry for entry in logs if entry["event"] == "dead-lettered entries no handler saw"]
    assert sum(entry["records"] for entry in told) == 5
    assert [entry["records"] for entry in told] == [1, 4]
    assert (told[0]["stage"], told[0]["reason"]) == ("keep", "decode_error")


async def dead(lab: Lab, count: int) -> bool:
    return len(await lab.dead_letters("keep")) == count


async def test_on_error_drop_counts_what_it_drops(lab: Lab) -> None:
    lab.records(range(10))
    lab.handlers("def odd(record):\n    return {'n': record['n'], 'half': 1 / (record['n'] % 2)}")
    lab.spec(f"""
        {READ}
        odd: {{call: "handlers:odd", on_error: drop, retry: {{attempts: 1}}}}
        {OUT}
    """)

    summary = await lab.run()

    assert lab.numbers("out/all.jsonl") == [1, 3, 5, 7, 9]
    assert summary.stages["odd"] == StageSummary(
        received=10, emitted=5, dropped=5, retried=0, dead=0, drops={"on_error: handler_error": 5}
    )


@pytest.fixture
def stopping(lab: Lab) -> Lab:
    """A pipeline that stops at record 7."""
    lab.records(range(20))
    lab.handlers("""
        mended = False

        def strict(record):
            if record["n"] == 7 and not mended:
                raise ValueError("seven")
            return record
    """)
    lab.spec(f"""
        {READ}
        strict: {{call: "handlers:strict", on_error: stop, retry: {{attempts: 1}}}}
        {OUT}
    """)
    return lab


async def test_on_error_stop_ends_the_run_and_names_the_record_whose_pack_stays_pending(
    stopping: Lab,
) -> None:
    with pytest.raises(HandlerError, match=r"stage 'strict' stopped at record 'read:in.jsonl:8' .*seven"):
        await stopping.run()

    strict = (await stopping.state()).stages["strict"]
    assert (strict.pending, strict.lag, strict.dead) == (20, 0, 0)
    assert stopping.lines("out/all.jsonl") == []


async def test_of_a_pack_that_stopped_a_run_only_that_record_stops_the_next_one(stopping: Lab) -> None:
    for _ in range(2):
        with pytest.raises(HandlerError, match=r"stopped at record 'read:in.jsonl:8' .*seven"):
            await stopping.run()

    state = await stopping.state()
    strict, out = state.stages["strict"], state.stages["out"]
    assert (strict.pending, strict.dead) == (1, 0)
    assert len(stopping.lines("out/all.jsonl")) + out.backlog + (strict.lag or 0) == 19


async def test_a_record_that_stopped_runs_is_condemned_by_none_of_them_and_goes_on_when_mended(
    stopping: Lab,
) -> None:
    for _ in range(8):
        with pytest.raises(HandlerError, match="seven"):
            await stopping.run()

    vars(stopping.module)["mended"] = True
    summary = await stopping.run()

    assert summary.finished
    assert stopping.numbers("out/all.jsonl") == list(range(20))
    assert not await stopping.dead_letters("strict")


async def test_a_record_that_a_sink_cannot_write_is_a_dead_letter_and_its_neighbours_are_written(
    lab: Lab,
) -> None:
    lab.records(range(3))
    lab.records([3], extra=1)
    lab.spec(f"{READ}\nout: {{sink: {{type: csv, path: out/all.csv, fields: [n]}}}}")

    summary = await lab.run()

    assert (lab.root / "out/all.csv").read_text() == "n\n0\n1\n2\n"
    (letter,) = await lab.dead_letters("out")
    assert json.loads(letter["data"]) == {"n": 3, "extra": 1}
    assert summary.stages["out"] == StageSummary(received=4, emitted=3, dropped=0, retried=0, dead=1)


async def test_a_stage_that_leaves_hanging_calls_behind_ends_the_run_and_condemns_no_record(lab: Lab) -> None:
    lab.records(range(40))
    lab.handlers("""
        import threading

        go_on = threading.Event()

        def hang(record):
            go_on.wait(40)
            return record
    """)
    lab.spec(f"""
        {READ}
        hang: {{call: "handlers:hang", timeout: 20ms, retry: {{attempts: 1}}, batch: {{size: 100}}}}
        {OUT}
    """)

    with pytest.raises(HandlerError, match="16 handler calls ran past 20ms and are still running"):
        await lab.run()

    lab.module.go_on.set()
    assert not await lab.dead_letters("hang")
    await lab.run()
    assert lab.numbers("out/all.jsonl") == list(range(40))
