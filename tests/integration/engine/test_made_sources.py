"""Sources that make their records themselves, and the sink that calls a function, over stops and kills."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest

from tests.integration.engine.lab import Lab
from tests.support.command_line import start
from tests.support.signals import wait_until

SEED = 11


def spec(lab: Lab, source: str) -> None:
    lab.spec(f"""
        made: {{source: {source}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl, rid: true}}}}
    """)


async def test_what_a_function_yields_again_is_passed_over_however_often_it_is_killed(
    lab: Lab,
) -> None:
    lab.handlers("""
        import time

        def feed():
            for n in range(300):
                time.sleep(0.002)
                yield {"n": n}
    """)
    spec(lab, "{type: python, call: 'handlers:feed'}")

    await killed(lab, "out/all.jsonl", 4)
    await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(300))
    assert len({line["rid"] for line in lab.lines("out/all.jsonl")}) == 300


async def killed(lab: Lab, path: str, times: int) -> None:
    """Run the pipeline in processes that are killed once more stands in a file."""
    moments = random.Random(SEED)
    for _ in range(times):
        process = start("run", lab.path, "--redis", lab.url, cwd=lab.root)
        had = len(lab.lines_so_far(path))
        try:
            await wait_until(lambda had=had: len(lab.lines_so_far(path)) > had, what="it writes")  # type: ignore[misc]
            await asyncio.sleep(moments.random() * 0.1)
        finally:
            process.kill()
            process.communicate()


async def test_two_processes_fire_each_time_once(lab: Lab) -> None:
    spec(lab, "{type: schedule, every: 1s}")
    runs = [lab.start(), lab.start()]
    await wait_until(lambda: len(lab.lines_so_far()) >= 3, what="three times have come")
    await runs[0].stop()
    await wait_until(lambda: len(lab.lines_so_far()) >= 5, what="the other one goes on")
    await runs[1].stop()

    fired = [line["rid"] for line in lab.lines("out/all.jsonl")]
    assert fired == sorted(set(fired))
    assert all(re.fullmatch(r"made:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one) for one in fired)


async def test_what_was_missed_while_nobody_ran_is_one_record(lab: Lab) -> None:
    spec(lab, "{type: schedule, every: 1s}")
    await lab.redis("HSET", lab.key("meta"), "position:made:times", "2026-01-01T00:00:00Z")

    run = lab.start()
    await wait_until(lambda: len(lab.lines_so_far()) >= 2, what="two times have come")
    await run.stop()

    assert [line["missed"] for line in lab.lines("out/all.jsonl")][:2] == [True, False]


async def test_a_function_that_raises_ends_the_run_once_what_it_yielded_is_through(lab: Lab) -> None:
    lab.handlers("def feed():\n    yield {'n': 1}\n    yield 7\n    raise OSError('gone')")
    spec(lab, "{type: python, call: 'handlers:feed'}")

    with pytest.raises(Exception, match="stage 'made': handlers:feed raised OSError: gone"):
        await lab.run()

    assert lab.numbers("out/all.jsonl") == [1]
    assert len(await lab.redis("XRANGE", lab.key("made:dlq"), "-", "+")) == 1


async def letters(lab: Lab) -> list[tuple[str, str]]:
    found = await lab.redis("XRANGE", lab.key("out:dlq"), "-", "+")
    fields = [dict(zip(one[::2], one[1::2], strict=True)) for _, one in found]
    return [(one[b"rsq-rid"].decode(), one[b"rsq-dlq-error"].decode()) for one in fields]


SINKS: dict[str, Any] = {
    "sync": "def store(records, rids, path):",
    "async": "async def store(records, rids, path):",
}


@pytest.mark.parametrize("kind", SINKS)
async def test_a_function_gets_batches_and_ids_and_says_what_became_of_each(lab: Lab, kind: str) -> None:
    lab.handlers(f"""
        from rsq_pipe import Reject, Retry

        SEEN = []

        {SINKS[kind]}
            assert path == "there" and len(records) == len(rids)
            if any(record["n"] == 7 for record in records):
                raise ValueError("seven")
            SEEN.extend(rids)
            return [Reject("three") if record["n"] == 3 else None for record in records]
    """)
    lab.spec("""
        made: {source: {type: generate, count: 20, fields: {n: n}}}
        out: {sink: {type: python, call: "handlers:store", with: {path: there}}}
    """)

    summary = await lab.run()

    assert sorted(await letters(lab)) == [("made:3", "three"), ("made:7", "ValueError: seven")]
    assert set(lab.module.SEEN) == {f"made:{n}" for n in range(20) if n != 7}
    assert (summary.stages["out"].emitted, summary.stages["out"].dead) == (18, 2)


async def test_a_sink_function_that_returns_nothing_has_done_all(lab: Lab) -> None:
    lab.handlers("SEEN = []\ndef store(records, rids):\n    SEEN.extend(rids)")
    lab.spec("""
        made: {source: {type: generate, count: 1000, fields: {n: n}}}
        out: {sink: {type: python, call: "handlers:store"}}
    """)

    summary = await lab.run()

    assert [f"made:{n}" for n in range(1000)] == lab.module.SEEN
    assert summary.stages["out"].emitted == 1000
