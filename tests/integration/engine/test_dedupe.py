"""A stage that remembers: its state is that of what it has settled, whatever happens to its batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rsq_pipe.engine import planner
from rsq_pipe.errors import HandlerError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.verbs.dedupe import Dedupe
from tests.integration.engine.lab import READ, Lab
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
ONCE = f"""
    {READ}
    once: {{dedupe: {{key: key, within: 1h}}}}
    {OUT}
"""


def keyed(lab: Lab, keys: list[Any], path: str = "in.jsonl") -> None:
    for n, key in enumerate(keys):
        lab.records([n], path, key=key)


def given(lab: Lab) -> str:
    """A stream that a test fills itself."""
    return f"given:{{{lab.pipeline}}}"


def keys_out(lab: Lab) -> list[Any]:
    return [line["key"] for line in lab.lines("out/all.jsonl")]


async def members(lab: Lab) -> set[bytes]:
    return set(await lab.redis("SMEMBERS", lab.key("once:state:1")))


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Batch], Awaitable[None]]], list[int]]:
    """Have something happen between the first decision of a stage and its settlement."""

    def before(act: Callable[[Batch], Awaitable[None]]) -> list[int]:
        process, sizes = Dedupe.process, []

        async def patched(self: Dedupe, batch: Batch) -> Outcomes:
            found = await process(self, batch)
            sizes.append(len(batch))
            if len(sizes) == 1:
                await act(batch)
            return found

        monkeypatch.setattr(Dedupe, "process", patched)
        return sizes

    return before


async def test_workers_of_two_processes_let_each_key_through_once(lab: Lab) -> None:
    lab.spec(
        f"""
        {READ}
        once: {{dedupe: {{key: key, within: 1h}}, workers: 4, batch: {{size: 20}}}}
        {OUT}
        """
    )
    for file in range(4):
        keyed(lab, [n % 97 for n in range(500)], f"{file}.jsonl")

    one, other = lab.start(), lab.start()
    summaries = await asyncio.gather(one.ended(), other.ended())

    assert sorted(keys_out(lab)) == list(range(97))
    counters = (await lab.state()).counters
    assert (counters["once:in"], counters["once:out"]) == (2_000, 97)
    assert counters["once:dropped:duplicate"] == 2_000 - 97
    assert all(summary.finished for summary in summaries)
    assert await lab.redis("HGET", lab.key("once:state"), "keys") == b"97"


async def test_a_second_run_knows_what_the_first_let_through(lab: Lab) -> None:
    lab.spec(ONCE)
    keyed(lab, ["a", "b"])
    await lab.run()
    keyed(lab, ["b", "c"], "more.jsonl")

    await lab.run()

    assert keys_out(lab) == ["a", "b", "c"]


async def test_where_the_state_changed_before_the_settlement_the_batch_is_processed_again(
    lab: Lab, first: Callable[..., list[int]]
) -> None:
    lab.spec(ONCE)
    keyed(lab, ["old"])
    await lab.run()
    keyed(lab, ["a", "b", "a"], "more.jsonl")

    async def another_worker(batch: Batch) -> None:
        await lab.redis("SADD", lab.key("once:state:1"), '"b"')

    sizes = first(another_worker)
    summary = await lab.run()

    assert sizes == [3, 3]
    assert keys_out(lab) == ["old", "a"]
    assert (summary.stages["once"].received, summary.stages["once"].dropped) == (3, 2)


async def test_an_entry_that_is_another_workers_by_now_leaves_nothing_in_the_state(
    lab: PackedLab, first: Callable[..., list[int]]
) -> None:
    lab.spec(ONCE.replace(READ, "").replace("{dedupe", f"{{from: {{stream: '{given(lab)}'}}, dedupe"))
    for key in ("a", "b", "a", "c"):
        await lab.redis("XADD", given(lab), "*", "data", f'{{"key":"{key}"}}')

    async def takes_over(batch: Batch) -> None:
        await lab.redis("XACK", given(lab), "once", batch.deliveries[0].id, batch.deliveries[1].id)

    sizes = first(takes_over)
    run = await lab.up()

    async def others_are_out() -> bool:
        return (await lab.state()).counters.get("out:out") == 2

    await wait_until(others_are_out, what="the others are out")
    await run.stop()

    assert sizes == [4, 2]
    assert sorted(keys_out(lab)) == ["a", "c"]
    assert await members(lab) == {b'"a"', b'"c"'}


async def test_where_a_record_stops_the_stage_its_neighbours_are_settled_and_it_leaves_nothing(
    lab: PackedLab,
) -> None:
    lab.spec(
        ONCE.replace(READ, "").replace(
            "{dedupe", f"{{from: {{stream: '{given(lab)}'}}, on_error: stop, dedupe"
        )
    )
    for key in ('"a"', "null", '"b"', '"a"'):
        await lab.redis("XADD", given(lab), "*", "data", f'{{"key":{key}}}')

    with pytest.raises(HandlerError, match="the key is null"):
        await lab.run()

    assert await members(lab) == {b'"a"', b'"b"'}
    counters = (await lab.state()).counters
    assert (counters["once:in"], counters["once:out"], counters["once:dropped"]) == (3, 2, 1)
    ((_, _, _, deliveries),) = await lab.redis("XPENDING", given(lab), "once", "-", "+", 10)
    assert deliveries == 1


async def test_a_batch_that_is_too_much_for_one_settlement_is_settled_part_by_part(
    lab: PackedLab, first: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.spec(ONCE.replace(READ, "").replace("{dedupe", f"{{from: {{stream: '{given(lab)}'}}, dedupe"))
    monkeypatch.setattr(planner, "MAX_BYTES", 5_000)
    for n in range(20):
        await lab.redis("XADD", given(lab), "*", "data", f'{{"key":{n % 15},"text":"{"x" * 1_000}"}}')

    async def nothing(batch: Batch) -> None: ...

    async def all_are_out() -> bool:
        return (await lab.state()).counters.get("out:out") == 15

    sizes = first(nothing)
    run = await lab.up()
    await wait_until(all_are_out, what="all are out")
    await run.stop()

    # What was read behind the batch may be decided between its parts, and is decided again behind them.
    assert sizes.count(4) >= 3
    assert sorted(keys_out(lab)) == list(range(15))
    assert await lab.redis("HGET", lab.key("once:state"), "keys") == b"15"


async def test_a_record_that_cannot_go_on_leaves_its_key_to_the_next(
    lab: PackedLab, first: Callable[..., list[int]]
) -> None:
    lab.spec(
        ONCE.replace(READ, "").replace("{dedupe", f"{{from: {{stream: '{given(lab)}'}}, dedupe"),
        top="max_record: 270kB",
    )
    for key, text in (("a", "x" * 300_000), ("b", ""), ("a", ""), ("a", "")):
        await lab.redis("XADD", given(lab), "*", "data", f'{{"key":"{key}","text":"{text}"}}')

    async def nothing(batch: Batch) -> None: ...

    async def all_are_out() -> bool:
        return (await lab.state()).counters.get("out:out") == 2

    sizes = first(nothing)
    run = await lab.up()
    await wait_until(all_are_out, what="all are out")
    await run.stop()

    assert sizes == [4, 3]
    assert sorted(keys_out(lab)) == ["a", "b"]
    counters = (await lab.state()).counters
    assert (counters["once:in"], counters["once:dead"], counters["once:dropped"]) == (4, 1, 1)
    (letter,) = await lab.dead_letters("once")
    assert len(letter["data"]) > 300_000


async def test_pure_stages_below_run_in_its_worker_and_a_call_does_not(lab: PackedLab) -> None:
    lab.handlers("def seen(record): return record")
    lab.spec(
        f"""
        {READ}
        once: {{dedupe: key}}
        more: {{map: {{m: "n + 1"}}}}
        seen: {{call: "handlers:seen", fuse: true}}
        {OUT}
        """,
        top="keep: 1h",
    )
    keyed(lab, ["a", "b", "a"])

    await lab.run()

    assert [line["m"] for line in lab.lines("out/all.jsonl")] == [1, 2]
    held = {name: await lab.records_in(name) for name in ("read", "once", "more", "seen")}
    assert held == {"read": 3, "once": 0, "more": 2, "seen": 2}


async def test_more_keys_than_it_may_remember_stop_the_stage_and_a_larger_bound_lets_it_go_on(
    lab: Lab,
) -> None:
    lab.spec(ONCE.replace("within: 1h", "max_keys: 3"))
    keyed(lab, ["a", "b", "c", "d", "a"])

    with pytest.raises(HandlerError, match=r"'once' remembers 3 keys at most, its `max_keys`"):
        await lab.run()
    assert keys_out(lab) == []
    lab.spec(ONCE.replace("within: 1h", "max_keys: 4"))
    await lab.run()

    assert keys_out(lab) == ["a", "b", "c", "d"]


async def test_a_fresh_run_remembers_nothing(lab: Lab) -> None:
    lab.spec(ONCE)
    keyed(lab, ["a", "b"])
    await lab.run()

    await lab.run(fresh=True)

    assert keys_out(lab) == ["a", "b"]
    assert await members(lab) == {b'"a"', b'"b"'}
