"""A settlement is written whole or not at all, once, and only by whoever holds its entries."""

from __future__ import annotations

import pytest

from rsq_pipe.errors import SettleError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.producer import StreamProducer
from rsq_pipe.streams.settlement import (
    MAX_REASONS,
    Counters,
    Entry,
    Output,
    Part,
    RetryAt,
    Rows,
    Settlement,
)
from tests.support.consumers import GROUP, copied, fields_in, numbers_in, pending


@pytest.fixture
async def batch(client: StreamClient, producer: StreamProducer, stream: str) -> list[StreamMessage]:
    """Ten entries that consumer `a` holds."""
    await producer.push_many([{"n": n} for n in range(10)])
    return await client.read(stream, GROUP, "a", count=10)


async def test_what_entries_became_appears_in_the_step_that_removes_them(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str, name: str
) -> None:
    entries = [Entry(m.stream, m.id, m.delivery_count) for m in batch]
    retry = RetryAt(f"{{{name}}}:retry", 50, ["data", batch[8].raw], "o.8")
    parts = [copied(m, output) for m in batch[:7]]
    parts += [Part((entries[7],), dropped=1), Part((entries[8],), retries=[retry])]
    parts += [Part((entries[9],), dead=[Output(f"{output}:dlq", ["data", batch[9].raw])])]
    counters = Counters(f"{{{name}}}:meta", "s.")

    settled = await client.settle(Settlement(parts, counters=counters), group=GROUP, consumer="a")

    assert (list(settled.committed), settled.fenced) == (parts, ())
    assert await numbers_in(client, output) == list(range(7))
    assert await numbers_in(client, f"{output}:dlq") == [9]
    assert await pending(client, stream) == 0
    flat = await client.channel.execute("HGETALL", counters.key, key=counters.key)
    counts = dict(zip(flat[::2], flat[1::2], strict=True))
    assert counts == {b"s.in": b"10", b"s.out": b"7", b"s.dropped": b"1", b"s.retried": b"1", b"s.dead": b"1"}


async def test_a_part_that_holds_nothing_is_committed(client: StreamClient) -> None:
    nothing = Settlement([Part()])

    assert (await client.settle(nothing, group="", consumer="")).committed == nothing.parts


async def test_drops_are_counted_by_reason_up_to_a_bound_and_the_others_together(
    client: StreamClient, batch: list[StreamMessage], name: str
) -> None:
    meta, drops = f"{{{name}}}:meta", f"{{{name}}}:s:drops"
    filled = [word for n in range(MAX_REASONS - 1) for word in (f"reason {n}", 1)]
    await client.channel.execute("HSET", drops, *filled, key=drops)
    why = ["too  old\n", "too old", "reason 0", *(f"order {n} " * 20 for n in range(6)), ""]
    entries = [Entry(m.stream, m.id, m.delivery_count) for m in batch]
    parts = [Part((entry,)) for entry in entries]
    counts = {meta: {"s.dropped": 10}}

    for _ in range(2):
        settlement = Settlement(parts, counts=counts, drops={drops: dict.fromkeys(why, 1)})
        await client.settle(settlement, group=GROUP, consumer="a")

    flat = await client.channel.execute("HGETALL", drops, key=drops)
    found = {reason: int(count) for reason, count in zip(flat[::2], flat[1::2], strict=True)}
    assert len(found) == MAX_REASONS + 1
    assert (found[b"too old"], found[b"reason 0"], found[b"other"]) == (2, 2, 6)
    assert await client.channel.execute("HGET", meta, "s.dropped", key=meta) == b"10"


async def test_a_journal_keeps_the_notes_of_what_was_committed_and_forgets_the_oldest(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str, name: str
) -> None:
    journal = f"{{{name}}}:s:journal"
    old: list[list[str | bytes | float]] = [["XADD", journal, "*", "n", n] for n in range(1_000)]
    await client.channel.exchange(old, key=journal)
    await client.ack(stream, GROUP, [batch[9].id])
    parts = [copied(message, output) for message in batch]
    for number, part in enumerate(parts):
        part.notes = [Output(journal, ["n", f"new {number}"])]

    await client.settle(Settlement(parts, kept=100), group=GROUP, consumer="a")
    await client.settle(Settlement(parts, kept=100), group=GROUP, consumer="a")

    notes = [fields["n"] for fields in await fields_in(client, journal)]
    assert notes[-9:] == [f"new {number}" for number in range(9)]
    assert 100 <= len(notes) <= 100 + 200  # whole nodes of the stream go at once
    assert await numbers_in(client, output) == list(range(9))


async def test_a_reason_whose_count_is_no_number_writes_nothing_and_acknowledges_nothing(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str, name: str
) -> None:
    drops = f"{{{name}}}:s:drops"
    await client.channel.execute("HSET", drops, "old", "many", key=drops)
    dropped = Part((Entry(batch[1].stream, batch[1].id, 1),), dropped=1)
    settlement = Settlement([copied(batch[0], output), dropped], drops={drops: {"new": 1}})

    with pytest.raises(SettleError, match="old"):
        await client.settle(settlement, group=GROUP, consumer="a")

    assert (await client.stream_len(output), await pending(client, stream)) == (0, 10)


async def test_the_same_settlement_sent_twice_adds_nothing(
    client: StreamClient, batch: list[StreamMessage], output: str
) -> None:
    settlement = Settlement([copied(m, output) for m in batch])
    await client.settle(settlement, group=GROUP, consumer="a")

    again = await client.settle(settlement, group=GROUP, consumer="a")

    assert (list(again.committed), list(again.fenced)) == ([], settlement.parts)
    assert await numbers_in(client, output) == list(range(10))


async def test_runs_of_like_parts_and_others_between_them_are_settled_alike(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str
) -> None:
    entries = [Entry(m.stream, m.id, m.delivery_count) for m in batch]
    fields: list[list[str | bytes]] = [
        ["data", message.raw, "rid", f"r{n}"] for n, message in enumerate(batch)
    ]
    other = f"{output}.other"
    parts = [Part((entries[n],), [Output(output, fields[n])]) for n in (0, 1)]  # a run
    parts += [Part((entries[2],), [Output(other, fields[2])])]  # another target
    parts += [Part((entries[3],), [Output(other, fields[3][:2])])]  # other fields
    parts += [Part((entries[4],), dropped=1)]  # no output
    parts += [Part((entries[n],), [Output(output, fields[n])]) for n in (5, 6, 7)]  # a run, one of it lost
    parts += [Part((entries[8],), [Output(output, fields[8]), Output(other, fields[8])])]  # two outputs
    parts += [Part((entries[9],), [Output(output, fields[9])])]
    await client.ack(stream, GROUP, [entries[6].id])

    settled = await client.settle(Settlement(parts), group=GROUP, consumer="a")

    assert list(settled.fenced) == [parts[6]]
    assert await numbers_in(client, output) == [0, 1, 5, 7, 8, 9]
    assert await numbers_in(client, other) == [2, 3, 8]
    assert [entry.get("rid") for entry in await fields_in(client, output)] == [
        "r0",
        "r1",
        "r5",
        "r7",
        "r8",
        "r9",
    ]
    assert [entry.get("rid") for entry in await fields_in(client, other)] == ["r2", None, "r8"]
    assert await pending(client, stream) == 0


async def test_a_stale_worker_whose_entries_were_reclaimed_commits_nothing(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str
) -> None:
    taken = await client.autoclaim(stream, GROUP, "b", min_idle_ms=0, count=4, max_passes=1)

    stale = await client.settle(Settlement([copied(m, output) for m in batch]), group=GROUP, consumer="a")

    assert [part.entries[0].id for part in stale.fenced] == [message.id for message in taken]
    assert await numbers_in(client, output) == [4, 5, 6, 7, 8, 9]
    await client.settle(Settlement([copied(m, output) for m in taken]), group=GROUP, consumer="b")
    assert sorted(await numbers_in(client, output)) == list(range(10))


async def test_a_delivery_before_the_present_one_commits_nothing(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str
) -> None:
    await client.autoclaim(stream, GROUP, "b", min_idle_ms=0, count=10)
    (again, *_) = await client.autoclaim(stream, GROUP, "a", min_idle_ms=0, count=10)

    stale = await client.settle(Settlement([copied(batch[0], output)]), group=GROUP, consumer="a")

    assert (again.delivery_count, len(stale.fenced)) == (3, 1)
    assert await client.stream_len(output) == 0


@pytest.mark.parametrize("kind", ["stream", "retry", "counters"])
async def test_a_target_of_the_wrong_type_writes_nothing_and_acknowledges_nothing(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str, name: str, kind: str
) -> None:
    wrong = f"{{{name}}}:wrong"
    await client.channel.execute("SET", wrong, "text", key=wrong)
    entry = Entry(batch[0].stream, batch[0].id, 1)
    parts = {
        "stream": Part((entry,), [Output(wrong, ["data", b"{}"])]),
        "retry": Part((entry,), retries=[RetryAt(wrong, 1, ["data", b"{}"], "o")]),
        "counters": copied(batch[0], output),
    }
    settlement = Settlement([copied(batch[1], output), parts[kind]])
    settlement.counters = Counters(wrong, "") if kind == "counters" else None

    with pytest.raises(SettleError, match=r"WRONGTYPE .*:wrong holds a string"):
        await client.settle(settlement, group=GROUP, consumer="a")

    assert await client.stream_len(output) == 0
    assert await pending(client, stream) == 10


@pytest.mark.parametrize("fields", [[], ["data"], ["data", b"{}", "rid"]])
async def test_an_output_that_is_not_pairs_writes_nothing_and_acknowledges_nothing(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str, fields: list[str | bytes]
) -> None:
    broken = Part((Entry(batch[1].stream, batch[1].id, 1),), [Output(output, fields)])

    with pytest.raises(ValueError, match="pairs"):
        await client.settle(Settlement([copied(batch[0], output), broken]), group=GROUP, consumer="a")

    assert (await client.stream_len(output), await pending(client, stream)) == (0, 10)


async def test_a_counter_that_is_no_number_writes_nothing_and_acknowledges_nothing(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str, name: str
) -> None:
    counters = Counters(f"{{{name}}}:meta", "s.")
    await client.channel.execute("HSET", counters.key, "s.out", "many", key=counters.key)

    settlement = Settlement([copied(batch[0], output)], counters=counters)
    with pytest.raises(SettleError, match=r"s\.out"):
        await client.settle(settlement, group=GROUP, consumer="a")

    assert (await client.stream_len(output), await pending(client, stream)) == (0, 10)


async def test_a_many_to_one_output_with_one_lost_input_is_not_written(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str
) -> None:
    await client.autoclaim(stream, GROUP, "b", min_idle_ms=0, count=1, max_passes=1)
    together = Part([Entry(m.stream, m.id, 1) for m in batch], [Output(output, ["data", b'{"n":45}'])])

    settled = await client.settle(Settlement([together]), group=GROUP, consumer="a")

    assert list(settled.fenced) == [together]
    assert (await client.stream_len(output), await pending(client, stream)) == (0, 10)


@pytest.mark.parametrize("lost", [None, 0, 4, 9])
async def test_entries_that_came_differently_become_rows_together_or_not_at_all(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str, name: str, lost: int | None
) -> None:
    other = f"{{{name}}}:again"
    await client.create_group(other, GROUP)
    await client.push(other, '{"n":10}')
    (more,) = await client.read(other, GROUP, "a")
    # The fifth is handed out once more: the runs are 0 to 3, 4, 5 to 9, and the other stream's.
    await client.channel.execute("XCLAIM", batch[4].stream, GROUP, "a", 0, batch[4].id, key=batch[4].stream)
    entries = [Entry(m.stream, m.id, 1 + (n == 4)) for n, m in enumerate((*batch, more))]
    if lost is not None:
        await client.ack(stream, GROUP, [batch[lost].id])
    values = [word for n in range(11) for word in (b'{"n":%d}' % n, f"r{n}")]
    together = Part(entries, rows=[Rows(output, ("data", "rid"), values)])
    counters = Counters(f"{{{name}}}:meta", "s.")

    settled = await client.settle(Settlement([together], counters=counters), group=GROUP, consumer="a")

    assert list(settled.committed) == ([together] if lost is None else [])
    assert await numbers_in(client, output) == (list(range(11)) if lost is None else [])
    found = [entry["rid"] for entry in await fields_in(client, output)]
    assert found == ([f"r{n}" for n in range(11)] if lost is None else [])
    left = await pending(client, stream) + await pending(client, other)
    assert left == (0 if lost is None else 10)
    written = await client.channel.execute("HGET", counters.key, "s.out", key=counters.key)
    assert written == (b"11" if lost is None else None)


async def test_inputs_of_two_streams_are_settled_in_one_step(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str, name: str
) -> None:
    other = f"{{{name}}}:again"
    await client.create_group(other, GROUP)
    await client.push(other, '{"n":10}')
    (more,) = await client.read(other, GROUP, "a")

    await client.settle(Settlement([copied(m, output) for m in (*batch, more)]), group=GROUP, consumer="a")

    assert await numbers_in(client, output) == list(range(11))
    assert await pending(client, stream) + await pending(client, other) == 0


async def test_entries_between_which_others_stand_are_found(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str
) -> None:
    ends = Settlement([copied(batch[0], output), copied(batch[9], output)])

    settled = await client.settle(ends, group=GROUP, consumer="a")

    assert (len(settled.committed), await pending(client, stream)) == (2, 8)


async def test_what_is_counted_is_all_or_nothing_and_names_the_entries_that_are_gone(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str, name: str
) -> None:
    meta = f"{{{name}}}:meta"
    await client.ack(stream, GROUP, [batch[3].id])
    entries = [Entry(m.stream, m.id, m.delivery_count) for m in batch]
    pack = Output(output, ["rsq-pack", "10", "data", b"[]"])

    settled = await client.settle(
        Settlement([Part(entries, [pack])], counts={meta: {"s:in": 10}}), group=GROUP, consumer="a"
    )

    assert list(settled.committed) == []
    assert settled.gone == {(batch[3].stream, batch[3].id)}
    assert await client.stream_len(output) == 0
    assert await client.channel.execute("HGET", meta, "s:in", key=meta) is None

    rest = [entry for entry in entries if (entry.stream, entry.id) not in settled.gone]
    counts = {meta: {"s:in": 9, "appended:x": 9}}
    settled = await client.settle(Settlement([Part(rest, [pack])], counts=counts), group=GROUP, consumer="a")

    assert settled.totals == {"s:in": 9, "appended:x": 9}
    assert await pending(client, stream) == 0


async def test_a_count_that_is_no_number_writes_nothing_and_acknowledges_nothing(
    client: StreamClient, batch: list[StreamMessage], stream: str, output: str, name: str
) -> None:
    meta = f"{{{name}}}:meta"
    await client.channel.execute("HSET", meta, "s:in", "many", key=meta)
    settlement = Settlement([copied(batch[0], output)], counts={meta: {"s:in": 1}})

    with pytest.raises(SettleError, match="s:in"):
        await client.settle(settlement, group=GROUP, consumer="a")

    assert (await client.stream_len(output), await pending(client, stream)) == (0, 10)
