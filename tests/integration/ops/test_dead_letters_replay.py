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
from tests.integration.ops.shop import Shop
from tests.support.proxy import Proxy
from tests.support.signals import BUSY

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_mended_record_reaches_its_sink_with_its_record_id(shop: Shop) -> None:
    shop.records([1], price=5)
    shop.records([2])
    await shop.run()

    progress = await shop.replay(price=7)
    (replayed,) = await shop.entries(shop.key("price:again"))
    await shop.run()

    assert progress.stages == {"price": Removed(removed=1)}
    assert replayed[1].pop("rsq-replay")
    assert replayed[1] == {"data": '{"n":2,"price":7}', "rsq-rid": "read:in.jsonl:2"}
    assert shop.lines("out/all.jsonl") == [
        {"n": 1, "price": 5, "total": 10},
        {"n": 2, "price": 7, "total": 14},
    ]
    assert await shop.letters() == []


async def test_attempts_begin_anew_and_a_record_that_fails_again_is_a_dead_letter_again(
    shop: Shop,
) -> None:
    shop.records([1], price=5)
    await shop.add_letters([2])

    await shop.replay()
    await shop.run()

    (letter,) = await shop.letters()
    assert (letter.rid, letter.attempts, letter.message) == ("read:2", 1, "order 2 has no price")


async def test_only_the_stage_that_failed_sees_the_record_again(shop: Shop) -> None:
    shop.spec(
        """
        read: {source: {type: jsonl, path: '*.jsonl'}}
        copy: {from: read, sink: {type: jsonl, path: out/copy.jsonl}}
        price: {from: read, call: 'handlers:price', retry: {attempts: 1}}
        out: {from: price, sink: {type: jsonl, path: out/all.jsonl}}
        """
    )
    shop.records([1, 2])
    await shop.run()

    await shop.replay(price=1)
    await shop.run()

    assert shop.numbers("out/copy.jsonl") == [1, 2]
    assert shop.numbers("out/all.jsonl") == [1, 2]


async def test_headers_ride_along_and_the_old_trace_is_linked(shop: Shop) -> None:
    await shop.add_letters([1], traceparent=TRACEPARENT, tenant="x")

    await shop.replay()

    ((_, fields),) = await shop.entries(shop.key("price:again"))
    assert fields.pop("rsq-replay")
    assert fields == {
        "data": '{"n":1}',
        "rsq-rid": "read:1",
        "traceparent": TRACEPARENT,
        "tenant": "x",
        "rsq-replay-link": TRACEPARENT,
    }


async def test_bytes_that_are_no_record_go_back_untouched(shop: Shop) -> None:
    await shop.add_letters([])
    await shop.redis(
        "XADD", shop.key("price:dlq"), "*", "data", b"\xff\x00", "rsq-rid", "r", "rsq-dlq-stage", "price"
    )

    await shop.replay()

    (entry,) = await shop.redis("XRANGE", shop.key("price:again"), "-", "+")
    assert entry[1][:-1] == [b"data", b"\xff\x00", b"rsq-rid", b"r", b"rsq-replay"]


async def test_a_lost_reply_changes_neither_the_records_nor_the_count(shop: Shop, proxy: Proxy) -> None:
    await shop.add_letters(range(250))
    async with StreamClient.from_url(proxy.url) as client:
        found = await shop.find(client=client)
        lost = proxy.drop_reply_to(b"EVALSHA")

        progress = await shop.replay(found)

        assert lost.is_set()
    assert progress.total == Removed(removed=250)
    assert Counter(await shop.rids("price:again")) == Counter(f"read:{n}" for n in range(250))
    assert await shop.letters() == []


async def test_two_replays_at_once_move_each_record_once(shop: Shop) -> None:
    await shop.add_letters(range(500))

    first, second = await asyncio.gather(shop.replay(), shop.replay())

    assert first.total.removed + second.total.removed == 500
    assert sorted(await shop.rids("price:again")) == sorted(f"read:{n}" for n in range(500))


async def test_a_replay_that_is_stopped_has_moved_what_it_counts_and_goes_on_later(shop: Shop) -> None:
    await shop.add_letters(range(350))
    progress = Progress()
    progress.notice = progress.stopping.set

    await replay(await shop.find(), Edits(), progress)
    moved = len(await shop.rids("price:again"))
    rest = await shop.replay()

    assert 0 < moved == progress.total.removed < 350
    assert rest.total.removed == 350 - moved
    assert sorted(await shop.rids("price:again")) == sorted(f"read:{n}" for n in range(350))


async def test_a_replay_does_not_chase_what_fails_again(shop: Shop) -> None:
    await shop.add_letters(range(120))
    # A source that has not ended keeps the pipeline running meanwhile.
    shop.spec(
        """
        price: {from: {stream: outside}, call: 'handlers:price', retry: {attempts: 1}}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
        """
    )
    running = shop.start()

    progress = Progress()
    await replay(await shop.find(), Edits(), progress, rate=400)
    await running.stop()

    assert progress.total.removed == 120


async def test_a_rate_is_kept(shop: Shop) -> None:
    await shop.add_letters(range(30))
    loop = asyncio.get_running_loop()
    found = await shop.find()
    began = loop.time()

    await replay(found, Edits(), Progress(), rate=100)

    assert 0.29 <= loop.time() - began < 0.3 + BUSY


async def test_what_was_replayed_is_counted_where_the_pipeline_counts(shop: Shop) -> None:
    await shop.add_letters(range(3))

    await shop.replay()

    assert await shop.redis("HGET", shop.key("meta"), "price:replayed") == b"3"


async def test_a_dead_letter_that_another_stage_has_in_hand_is_left_to_it(shop: Shop) -> None:
    (taken, _) = await shop.add_letters([1, 2])
    key = shop.key("price:dlq")
    await shop.client.create_group(key, "mend")
    await shop.client.read(key, "mend", "worker", count=1)

    progress = await shop.replay()

    assert progress.total == Removed(removed=1, held=1)
    assert [letter.id for letter in await shop.letters()] == [taken]


async def test_a_full_server_still_replays(shop: Shop) -> None:
    await shop.add_letters(range(10))
    await shop.redis("CONFIG", "SET", "maxmemory", "1mb")
    try:
        progress = await shop.replay()
    finally:
        await shop.redis("CONFIG", "SET", "maxmemory", "0")

    assert progress.total.removed == 10


async def test_a_line_its_source_could_not_read_stays_until_it_is_a_record(shop: Shop) -> None:
    (shop.root / "in.jsonl").write_text('{"n": 1, "price": 2\n')
    await shop.run()

    with pytest.raises(ReplayError, match=r"nothing enters a source again.*must be a record.*--edit"):
        await shop.plan()

    assert (await shop.replay()).total.removed == 0
    assert len(await shop.letters()) == 1


async def test_what_cannot_go_back_does_not_keep_the_rest(shop: Shop) -> None:
    (shop.root / "in.jsonl").write_text('{"n": 1, "price": 2\n{"n": 2}\n')
    await shop.run()

    plan = await shop.plan()
    progress = await shop.replay()

    assert [(group.stage, group.count) for group in plan.groups] == [("price", 1)]
    assert [(left.stage, left.count) for left in plan.left] == [("read", 1)]
    assert progress.stages == {"price": Removed(removed=1)}


async def test_a_stage_that_is_gone_from_the_file_takes_nothing_back(shop: Shop) -> None:
    await shop.add_letters([1], stage="old")

    with pytest.raises(ReplayError, match="stage 'old': the pipeline's file has no such stage"):
        await shop.plan()

    assert (await shop.replay()).total.removed == 0


async def test_a_stage_without_its_group_takes_nothing_back(shop: Shop) -> None:
    await shop.add_letters([1])
    await shop.redis("XGROUP", "DESTROY", shop.key("price:again"), "price")

    with pytest.raises(ReplayError, match="is not read by price; run the pipeline once"):
        await shop.plan()


async def test_a_group_that_is_lost_on_the_way_stops_the_replay_with_nothing_moved(shop: Shop) -> None:
    await shop.add_letters([1])
    found = await shop.find()
    await shop.redis("XGROUP", "DESTROY", shop.key("price:again"), "price")

    with pytest.raises(ReplayError, match="is no longer read by price"):
        await shop.replay(found)

    assert len(await shop.letters()) == 1
    assert await shop.rids("price:again") == []


async def test_a_pipeline_named_without_its_file_replays_its_stages_but_not_its_sources(
    shop: Shop,
) -> None:
    await shop.add_letters([1])
    await shop.add_letters([2], stage="read")

    found = await shop.find(by_name=True)
    progress = await shop.replay(found, price=3)

    assert progress.stages == {"price": Removed(removed=1)}
    assert [letter.stage for letter in await shop.letters()] == ["read"]
    with pytest.raises(ReplayError, match="name the pipeline by its file"):
        await shop.plan(by_name=True)
