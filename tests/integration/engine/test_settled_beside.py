"""A settlement that was begun is on its way before the next batch is handled."""

from __future__ import annotations

from time import monotonic

import pytest
from redis import Redis

from rsq_pipe.engine.chain import Chain, Step
from rsq_pipe.engine.changes import provision
from rsq_pipe.errors import SettleError
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.settlement import Settled, Settlement
from tests.integration.engine.packed import PackedLab


async def test_a_settlement_reaches_the_server_while_the_next_batch_only_computes(
    lab: PackedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.records([])
    lab.spec(
        """
        read: {source: {type: jsonl, path: '*.jsonl'}, fuse: false}
        work: {map: {m: n}, batch: {size: 10}, fuse: false}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
        """
    )
    await provision.lay(lab.client, lab.graph)
    # Where entries get larger than those before them, one read brings several batches.
    for size in (*[1] * 40, *[10] * 10):
        await lab.append("read", size)
    sizes: list[int] = []
    arrived: list[bool] = []
    process = Chain.process

    async def watched(self: Chain, batch: Batch) -> list[Step]:
        if self.first.stage.name != "work":
            return await process(self, batch)
        # Nothing here gives the event loop a turn, as a batch that only computes does not.
        if sizes[-2:] == [10, 10]:
            with Redis.from_url(lab.url) as beside:
                until = monotonic() + 5
                while _written(beside, lab.key("work")) < len(sizes) and monotonic() < until:
                    pass
                arrived.append(_written(beside, lab.key("work")) == len(sizes))
        sizes.append(len(batch))
        return await process(self, batch)

    monkeypatch.setattr(Chain, "process", watched)

    await lab.run()

    assert len(arrived) > 3
    assert all(arrived)
    assert lab.numbers("out/all.jsonl") == list(range(140))


@pytest.mark.parametrize("group", ["", "work"])
async def test_where_a_settlement_fails_the_run_ends_though_nothing_else_arrives(
    lab: PackedLab, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    lab.handlers("def work(record): return record")
    lab.spec(
        """
        read: {source: {type: jsonl, path: in.jsonl, follow: true}}
        work: {call: "handlers:work"}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
        """,
        top="reclaim: {idle: 1m}",
    )
    settle = StreamClient.settle

    async def failing(self: StreamClient, settlement: Settlement, **who: str) -> Settled:
        if who["group"] == group and any(part.outputs for part in settlement.parts):
            raise SettleError("not this one")
        return await settle(self, settlement, **who)

    monkeypatch.setattr(StreamClient, "settle", failing)
    lab.records([])
    run = await lab.up()
    lab.records([1])

    with pytest.raises(SettleError, match="not this one"):
        await run.ended(timeout=8)


def _written(server: Redis, stream: str) -> int:
    """Count the entries that were ever written to a stream: some may have been trimmed."""
    return int(server.xinfo_stream(stream)["entries-added"])
