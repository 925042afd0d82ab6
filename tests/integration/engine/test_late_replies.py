"""The reply to a read arrives after what it brings was taken over, written and settled."""

from __future__ import annotations

import asyncio

from tests.integration.engine.lab import Lab
from tests.support.proxy import Proxy
from tests.support.signals import PATIENCE, wait_until


async def test_a_reply_that_is_late_brings_no_record_into_a_table_twice(lab: Lab) -> None:
    target = f"{lab.pipeline}-target"
    lab.records([0], text="early")
    lab.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl, follow: true}}}}
        out: {{sink: {{type: redis, kind: list, key: {target}, value: n}}}}
        """,
        top="reclaim: {idle: 500ms}",
    )

    async def written() -> list[int]:
        return [int(number) for number in await lab.redis("LRANGE", target, 0, -1)]

    async def are_written(count: int) -> bool:
        return len(await written()) >= count

    async with Proxy(lab.url) as proxy:
        held, goes_on = proxy.hold_next_reply_containing(b"early")
        run = lab.start(proxy.url)
        await asyncio.wait_for(held.wait(), PATIENCE)
        await wait_until(lambda: are_written(1), what="what was read is taken over and written")
        goes_on.set()
        lab.records([1])
        await wait_until(lambda: are_written(2), what="what comes after the late reply is written")
        await run.stop()

        assert await written() == [0, 1]
