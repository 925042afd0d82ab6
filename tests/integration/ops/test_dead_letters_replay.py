"""Dead letters on their way back: each once, to the stage that failed it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from rsq_pipe.errors import ReplayError
from rsq_pipe.ops.dead_letters.edits import Edits
from rsq_pipe.ops.dead_letters.progress import Progress
from rsq_pipe.ops.dead_letters.replay import replay
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.removal import Removed
from tests.integration.ops.morgue import Morgue
from tests.support.proxy import Proxy
from tests.support.signals import BUSY

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_mended_record_reaches_its_sink_with_its_record_id(morgue: Morgue) -> None:
    morgue.records([1], price=5)
    morgue.records([2])
    await morgue.run()

    progress = await morgue.replay(price=7)
    (replayed,) = await morgue.entries(morgue.key("price:again"))
    await morgue.run()

    assert progress.stages == {"price": Removed(removed=1)}
    assert replayed[1].pop("rsq-replay")
    assert replayed[1] == {"data": '{"n":2,"price":7}', "rsq-rid": "read:in.jsonl:2"}
    assert morgue.lines("out/all.jsonl") == [
        {"n": 1, "price": 5, "total": 10},
        {"n": 2, "price": 7, "total": 14},
    ]
    assert await morgue.letters() == []


async def test_attempts_begin_anew_and_a_record_that_fails_again_is_a_dead_letter_again(
    morgue: Morgue,
) -> None:
    morgue.records([1], price=5)
    await morgue.bury([2])

    await morgue.replay()
    await morgue.run()

    (letter,) = await morgue.letters()
    assert (letter.rid, letter.attempts, letter.message) == ("read:2", 1, "order 2 has no price")


async def test_only_the_stage_that_failed_sees_the_record_again(morgue: Morgue) -> None:
    morgue.spec(
        """
        read: {source: {type: jsonl, path: '*.jsonl'}}
        copy: {from: read, sink: {type: jsonl, path: out/copy.jsonl}}
        price: {from: read, call: 'handlers:price', retry: {attempts: 1}}
        out: {from: price, sink: {type: jsonl, path: out/all.jsonl}}
        """
    )
    morgue.records([1, 2])
    await morgue.run()

    await morgue.replay(price=1)
    await morgue.run()

    assert morgue.numbers("out/copy.jsonl") == [1, 2]
    assert morgue.numbers("out/all.jsonl") == [1, 2]


async def test_headers_ride_along_and_the_old_trace_is_linked(morgue: Morgue) -> None:
    await morgue.bury([1], traceparent=TRACEPARENT, tenant="x")

    await morgue.replay()

    ((_, fields),) = await morgue.entries(morgue.key("price:again"))
    assert fields.pop("rsq-replay")
    assert fields == {
        "data": '{"n":1}',
        "rsq-rid": "read:1",
        "traceparent": TRACEPARENT,
        "tenant": "x",
        "rsq-replay-link": TRACEPARENT,
    }


async def test_bytes_that_are_no_record_go_back_untouched(morgue: Morgue) -> None:
    await morgue.bury([])
    await morgue.redis(
        "XADD", morgue.key("price:dlq"), "*", "data", b"\xff\x00", "rsq-rid", "r", "rsq-dlq-stage", "price"
    )

    await morgue.replay()

    (entry,) = await morgue.redis("XRANGE", morgue.key("price:again"), "-", "+")
    assert entry[1][:-1] == [b"data", b"\xff\x00", b"rsq-rid", b"r", b"rsq-replay"]


async def test_a_lost_reply_changes_neither_the_records_nor_the_count(morgue: Morgue, proxy: Proxy) -> None:
    await morgue.bury(range(250))
    async with StreamClient.from_url(proxy.url) as client:
        found = await morgue.find(client=client)
        lost = proxy.drop_reply_to(b"EVALSHA")

        progress = await morgue.replay(found)

        assert lost.is_set()
    assert progress.total == Removed(removed=250)
    assert Counter(await morgue.rids("price:again")) == Counter(f"read:{n}" for n in range(250))
    assert await morgue.letters() == []


async def test_two_replays_at_once_move_each_record_once(morgue: Morgue) -> None:
    await morgue.bury(range(500))

    first, second = await asyncio.gather(morgue.replay(), morgue.replay())

    assert first.total.removed + second.total.removed == 500
    assert sorted(await morgue.rids("price:again")) == sorted(f"read:{n}" for n in range(500))


async def test_a_replay_that_is_stopped_has_moved_what_it_counts_and_goes_on_later(morgue: Morgue) -> None:
    await morgue.bury(range(350))
    progress = Progress()
    progress.notice = progress.stopping.set

    await replay(await morgue.find(), Edits(), progress)
    moved = len(await morgue.rids("price:again"))
    rest = await morgue.replay()

    assert 0 < moved == progress.total.removed < 350
    assert rest.total.removed == 350 - moved
    assert sorted(await morgue.rids("price:again")) == sorted(f"read:{n}" for n in range(350))


async def test_a_replay_does_not_chase_what_fails_again(morgue: Morgue) -> None:
    await morgue.bury(range(120))
    # A source that has not ended keeps the pipeline running meanwhile.
    morgue.spec(
        """
        price: {from: {stream: outside}, call: 'handlers:price', retry: {attempts: 1}}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
        """
    )
    running = morgue.start()

    progress = Progress()
    await replay(await morgue.find(), Edits(), progress, rate=400)
    await running.stop()

    assert progress.total.removed == 120


async def test_a_rate_is_kept(morgue: Morgue) -> None:
    await morgue.bury(range(30))
    loop = asyncio.get_running_loop()
    found = await morgue.find()
    began = loop.time()

    await replay(found, Edits(), Progress(), rate=100)

    assert 0.29 <= loop.time() - began < 0.3 + BUSY


async def test_what_was_replayed_is_counted_where_the_pipeline_counts(morgue: Morgue) -> None:
    await morgue.bury(range(3))

    await morgue.replay()

    assert await morgue.redis("HGET", morgue.key("meta"), "price:replayed") == b"3"


async def test_a_dead_letter_that_another_stage_has_in_hand_is_left_to_it(morgue: Morgue) -> None:
    (taken, _) = await morgue.bury([1, 2])
    key = morgue.key("price:dlq")
    await morgue.client.create_group(key, "mend")
    await morgue.client.read(key, "mend", "worker", count=1)

    progress = await morgue.replay()

    assert progress.total == Removed(removed=1, held=1)
    assert [letter.id for letter in await morgue.letters()] == [taken]


async def test_a_full_server_still_replays(morgue: Morgue) -> None:
    await morgue.bury(range(10))
    await morgue.redis("CONFIG", "SET", "maxmemory", "1mb")
    try:
        progress = await morgue.replay()
    finally:
        await morgue.redis("CONFIG", "SET", "maxmemory", "0")

    assert progress.total.removed == 10


async def test_a_line_its_source_could_not_read_stays_until_it_is_a_record(morgue: Morgue) -> None:
    (morgue.root / "in.jsonl").write_text('{"n": 1, "price": 2\n')
    await morgue.run()

    with pytest.raises(ReplayError, match=r"nothing enters a source again.*must be a record.*--edit"):
        await morgue.plan()

    assert (await morgue.replay()).total.removed == 0
    assert len(await morgue.letters()) == 1


async def test_what_cannot_go_back_does_not_keep_the_rest(morgue: Morgue) -> None:
    (morgue.root / "in.jsonl").write_text('{"n": 1, "price": 2\n{"n": 2}\n')
    await morgue.run()

    plan = await morgue.plan()
    progress = await morgue.replay()

    assert [(group.stage, group.count) for group in plan.groups] == [("price", 1)]
    assert [(left.stage, left.count) for left in plan.left] == [("read", 1)]
    assert progress.stages == {"price": Removed(removed=1)}


async def test_a_stage_that_is_gone_from_the_file_takes_nothing_back(morgue: Morgue) -> None:
    await morgue.bury([1], stage="old")

    with pytest.raises(ReplayError, match="stage 'old': the pipeline's file has no such stage"):
        await morgue.plan()

    assert (await morgue.replay()).total.removed == 0


async def test_a_stage_without_its_group_takes_nothing_back(morgue: Morgue) -> None:
    await morgue.bury([1])
    await morgue.redis("XGROUP", "DESTROY", morgue.key("price:again"), "price")

    with pytest.raises(ReplayError, match="is not read by price; run the pipeline once"):
        await morgue.plan()


async def test_a_group_that_is_lost_on_the_way_stops_the_replay_with_nothing_moved(morgue: Morgue) -> None:
    await morgue.bury([1])
    found = await morgue.find()
    await morgue.redis("XGROUP", "DESTROY", morgue.key("price:again"), "price")

    with pytest.raises(ReplayError, match="is no longer read by price"):
        await morgue.replay(found)

    assert len(await morgue.letters()) == 1
    assert await morgue.rids("price:again") == []


async def test_a_pipeline_named_without_its_file_replays_its_stages_but_not_its_sources(
    morgue: Morgue,
) -> None:
    await morgue.bury([1])
    await morgue.bury([2], stage="read")

    found = await morgue.find(by_name=True)
    progress = await morgue.replay(found, price=3)

    assert progress.stages == {"price": Removed(removed=1)}
    assert [letter.stage for letter in await morgue.letters()] == ["read"]
    with pytest.raises(ReplayError, match="name the pipeline by its file"):
        await morgue.plan(by_name=True)
