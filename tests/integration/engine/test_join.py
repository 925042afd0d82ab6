"""join on a server: pairs are made once, whoever comes first, and what waited in vain leaves at the end."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from rsq_pipe.errors import HandlerError
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

READ = """
    orders: {source: {type: jsonl, path: "o*.jsonl"}}
    payments: {source: {type: jsonl, path: "p*.jsonl"}}
"""
JOIN = f"""
    {READ}
    paid: {{join: {{left: orders, right: payments, on: n, MORE}}}}
    out: {{sink: {{type: jsonl, path: out/all.jsonl, rid: true}}}}
    lone_left: {{from: paid.left, sink: {{type: jsonl, path: out/left.jsonl}}}}
    lone_right: {{from: paid.right, sink: {{type: jsonl, path: out/right.jsonl}}}}
"""
LIVE = """
    orders: {source: {type: stream, stream: "STREAM-orders"}}
    payments: {source: {type: stream, stream: "STREAM-payments"}}
    paid: {join: {left: orders, right: payments, on: n, MORE}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
    lone_left: {from: paid.left, sink: {type: jsonl, path: out/left.jsonl}}
"""


def joins(lab: PackedLab, more: str = "kind: inner", *, live: bool = False, top: str = "") -> None:
    lab.spec((LIVE if live else JOIN).replace("MORE", more).replace("STREAM", lab.pipeline), top=top)


def pairs(lab: PackedLab) -> Counter[tuple[int, int]]:
    return Counter((line["x"], line["payments"]["y"]) for line in lab.lines("out/all.jsonl"))


def put(lab: PackedLab, side: str, numbers: range, name: str = "") -> None:
    """Records {n, x} of the left side and {n, y} of the right one; x and y tell all of them apart."""
    field = "x" if side == "o" else "y"
    with (lab.root / f"{side}{name}.jsonl").open("a") as file:
        file.writelines(json.dumps({"n": n, field: n}) + "\n" for n in numbers)


async def test_pairs_are_made_once_and_what_waited_in_vain_leaves_when_the_inputs_have_ended(
    lab: PackedLab,
) -> None:
    put(lab, "o", range(700))
    put(lab, "p", range(300, 1_000))
    joins(lab)

    summary = await lab.run()

    assert pairs(lab) == Counter((n, n) for n in range(300, 700))
    assert lab.numbers("out/left.jsonl") == [*range(300)]
    assert lab.numbers("out/right.jsonl") == [*range(700, 1_000)]
    paid = summary.stages["paid"]
    assert (paid.received, paid.stored, paid.emitted, paid.dropped) == (1_400, 1_400, 1_000, 0)
    assert await lab.redis("EXISTS", lab.key("paid:timers")) == 0
    assert await lab.redis("HGET", lab.key("paid:state"), "keys") == b"0"


async def test_what_nobody_reads_of_what_waited_in_vain_is_dropped_and_counted(lab: PackedLab) -> None:
    put(lab, "o", range(10))
    put(lab, "p", range(5, 15))
    joins(lab)
    lines = lab.path.read_text().splitlines(keepends=True)
    lab.path.write_text("".join(line for line in lines if "lone_" not in line))

    summary = await lab.run()

    assert summary.stages["paid"].drops == {"unmatched": 10}


@pytest.mark.parametrize(("kind", "alone"), [("left", 5), ("outer", 10)])
async def test_with_null_for_the_other_as_the_kind_says(lab: PackedLab, kind: str, alone: int) -> None:
    put(lab, "o", range(10))
    put(lab, "p", range(5, 15))
    joins(lab, f"kind: {kind}, as: {{left: a, right: b}}")

    await lab.run()

    lines = lab.lines("out/all.jsonl")
    assert sum(line["a"] is not None and line["b"] is not None for line in lines) == 5
    assert sorted(line["a"]["n"] for line in lines if line["b"] is None) == [*range(5)]
    assert len(lines) == 5 + alone


async def test_a_later_run_does_not_meet_what_an_earlier_one_has_let_go(lab: PackedLab) -> None:
    put(lab, "o", range(10))
    put(lab, "p", range(0))
    joins(lab)
    await lab.run()
    put(lab, "p", range(10))
    put(lab, "o", range(5), name="2")

    await lab.run()

    assert pairs(lab) == Counter((n, n) for n in range(5))
    assert lab.numbers("out/left.jsonl") == [*range(10)]
    assert lab.numbers("out/right.jsonl") == [*range(5, 10)]


async def test_several_processes_and_workers_share_a_join(lab: PackedLab) -> None:
    put(lab, "o", range(5_000))
    put(lab, "p", range(4_999, 99, -1))
    joins(lab, top="max_backlog: 400", more="within: 1h}, workers: 2, batch: {size: 37")

    runs = [lab.start() for _ in range(3)]
    await asyncio.gather(*(run.ended() for run in runs))

    assert pairs(lab) == Counter((n, n) for n in range(100, 5_000))
    assert lab.numbers("out/left.jsonl") == [*range(100)]


async def _came(lab: PackedLab, stream: str, *numbers: int) -> None:
    key = f"{lab.pipeline}-{stream}"
    for n in numbers:
        record = json.dumps({"n": n, "x" if stream == "orders" else "y": n})
        await lab.client.channel.execute("XADD", key, "*", "data", record, key=key)


async def test_a_record_waits_as_long_as_it_is_said(lab: PackedLab) -> None:
    joins(lab, "within: 400ms", live=True)
    run = await lab.up()

    await _came(lab, "orders", 1, 2)
    await _came(lab, "payments", 2)
    await wait_until(lambda: lab.lines_so_far("out/left.jsonl"), what="the order waits no longer")
    await _came(lab, "payments", 1)
    await wait_until(lambda: _stored(lab, 4), what="the payment is there")

    await run.stop()
    assert pairs(lab) == Counter([(2, 2)])
    assert lab.numbers("out/left.jsonl") == [1]


async def test_what_waits_survives_a_restart(lab: PackedLab) -> None:
    joins(lab, "within: 1h", live=True)
    run = await lab.up()
    await _came(lab, "orders", *range(20))
    await wait_until(lambda: _stored(lab, 20), what="the orders wait")
    await run.abandon()

    run = await lab.up()
    await _came(lab, "payments", *range(20))
    await wait_until(lambda: len(lab.lines_so_far()) == 20, what="all are paid")

    await run.stop()
    assert pairs(lab) == Counter((n, n) for n in range(20))


async def test_a_dead_letter_says_by_which_side_it_came(lab: PackedLab) -> None:
    put(lab, "o", range(3))
    (lab.root / "p.jsonl").write_text('{"y": 0}\n{"n": 1, "y": 1}\n')  # the first has no key
    joins(lab, "within: 1h")
    await lab.run()
    letters = await lab.redis("XRANGE", lab.key("paid:dlq"), "-", "+")

    fields = dict(zip(letters[0][1][::2], letters[0][1][1::2], strict=True))
    assert fields[b"rsq-input"] == b"right"
    assert b"'n' is not in the record" in fields[b"rsq-dlq-error"]


async def test_a_pack_that_comes_back_is_split_and_keeps_its_side(lab: PackedLab) -> None:
    put(lab, "o", range(30))
    put(lab, "p", range(30))
    joins(lab, "within: 1h", top="reclaim: {idle: 300ms}")
    run = await lab.up(stages=["orders", "payments"])
    await wait_until(lambda: _entered(lab, 60), what="all has entered")
    for stream in ("orders", "payments"):  # somebody takes the packs, and dies
        words = ["XREADGROUP", "GROUP", "paid", "elsewhere", "STREAMS", lab.key(stream), ">"]
        await lab.client.channel.execute(*words, key=lab.key(stream))
    await run.stop()

    await lab.run()

    assert pairs(lab) == Counter((n, n) for n in range(30))


async def test_more_keys_than_may_wait_stop_the_stage(lab: PackedLab) -> None:
    put(lab, "o", range(100))
    put(lab, "p", range(0))
    joins(lab, "max_keys: 50")

    with pytest.raises(HandlerError, match=r"stage 'paid' .*50 .*max_keys"):
        await lab.run()


async def _stored(lab: PackedLab, count: int) -> bool:
    return (await lab.state()).counters.get("paid:stored", 0) == count


async def _entered(lab: PackedLab, count: int) -> bool:
    counters = (await lab.state()).counters
    return counters.get("orders:out", 0) + counters.get("payments:out", 0) == count
