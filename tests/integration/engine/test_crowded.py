"""Where many records wait their packs are compressed; whoever reads them reads what was written."""

from __future__ import annotations

import pytest

from rsq_pipe.engine import chain
from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab
from tests.support.command_line import rsq_pipe
from tests.support.signals import wait_until

COUNT = 3_000


async def test_what_waits_in_a_crowded_stream_is_small_and_comes_out_as_it_went_in(
    lab: PackedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "CROWDED", 1_000)
    lab.handlers("def work(record): return record")
    lab.spec(
        f"""
        {READ}
        work: {{call: "handlers:work"}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """,
        defaults="defaults: {batch: {size: 500}}",
    )
    await _brought(lab, 0)
    await _brought(lab, COUNT)  # which knows from the start that the stream is crowded

    reply = await lab.redis("XRANGE", lab.key("read"), "-", "+")
    small = [fields[3][:1] == b"\x78" for _, fields in reply]
    assert not small[0]
    assert small[-1]
    peeked = rsq_pipe(
        "peek",
        lab.path,
        "work",
        "--redis",
        lab.url,
        "--where",
        f"n == {2 * COUNT - 1}",
        "--json",
        cwd=lab.root,
    )
    assert f'"n":{2 * COUNT - 1}' in peeked.stdout.replace(" ", "")

    await lab.run()

    assert lab.numbers("out/all.jsonl") == list(range(2 * COUNT))


async def _brought(lab: PackedLab, first: int) -> None:
    """Have the source alone bring some more records."""
    lab.records(range(first, first + COUNT), path=f"{first}.jsonl")
    run = await lab.up(stages=["read"])
    await wait_until(lambda: _waits(lab, first + COUNT), what="all is read")
    await run.stop()


async def _waits(lab: PackedLab, count: int) -> bool:
    return (await lab.state()).stages["work"].lag == count
