"""Dead letters deleted for good, and counted."""

from __future__ import annotations

from rsq_pipe.ops.dead_letters.dead_letters import DeadLetters
from rsq_pipe.ops.dead_letters.progress import Progress
from rsq_pipe.ops.dead_letters.purge import preview_purge, purge
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.removal import Removed
from tests.integration.ops.shop import Shop
from tests.support.proxy import Proxy


async def purged(found: DeadLetters) -> Removed:
    progress = Progress()
    await purge(found, progress)
    return progress.total


async def test_what_is_chosen_is_deleted_and_nothing_else(shop: Shop) -> None:
    await shop.add_letters(range(250))
    found = await shop.find(where=compile_expression("n >= 100"))

    planned = (await preview_purge(found)).count

    assert planned == 150
    assert await purged(found) == Removed(removed=150)
    assert [letter.rid for letter in await shop.letters()] == [f"read:{n}" for n in range(100)]
    assert await shop.redis("HGET", shop.key("meta"), "price:purged") == b"150"


async def test_a_lost_reply_does_not_change_the_count(shop: Shop, proxy: Proxy) -> None:
    await shop.add_letters(range(50))
    async with StreamClient.from_url(proxy.url) as client:
        found = await shop.find(client=client)
        lost = proxy.drop_reply_to(b"EVALSHA")

        assert await purged(found) == Removed(removed=50)
        assert lost.is_set()


async def test_what_somebody_else_deleted_first_is_not_counted(shop: Shop) -> None:
    ids = await shop.add_letters(range(3))
    found = await shop.find()
    pages = [page async for page in found.pages()]
    await shop.redis("XDEL", pages[0].queue.key, ids[0])

    assert await purged(found) == Removed(removed=2)


async def test_what_somebody_else_deleted_between_the_plan_and_the_purge_is_told(shop: Shop) -> None:
    ids = await shop.add_letters(range(5))
    found = await shop.find()
    plan = await preview_purge(found)
    await shop.redis("XDEL", shop.key("price:dlq"), *ids[:2])

    progress = Progress()
    await purge(found, progress)
    progress.end(plan)

    assert progress.total == Removed(removed=3, gone=2)


async def test_of_a_purge_that_was_stopped_nothing_is_told_to_be_gone(shop: Shop) -> None:
    await shop.add_letters(range(5))
    found = await shop.find()
    plan = await preview_purge(found)
    progress = Progress()
    progress.stopping.set()

    await purge(found, progress)
    progress.end(plan)

    assert progress.total == Removed()


async def test_dead_letters_of_a_stage_that_is_gone_from_the_file_can_be_purged(shop: Shop) -> None:
    await shop.add_letters([1], stage="old")

    assert await purged(await shop.find()) == Removed(removed=1)
    assert await shop.letters() == []
