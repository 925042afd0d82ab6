"""`run --fresh` takes nothing away where one of its sinks would refuse to start over."""

from __future__ import annotations

import sqlite3

import pytest

from rsq_pipe.errors import SinkError
from tests.integration.engine.lab import READ, Lab

BOTH = f"""
{READ}
out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
rows: {{from: read, sink: {{type: sqlite, path: out/rows.db, table: rows, create: true}}}}
"""


def rows(lab: Lab) -> int:
    with sqlite3.connect(lab.root / "out/rows.db") as opened:
        (count,) = opened.execute("select count(*) from rows").fetchone()
    return int(count)


async def keys(lab: Lab) -> dict[str, int]:
    found = await lab.redis("KEYS", lab.key("*"))
    return {key.decode(): 1 for key in found}


async def test_a_sink_that_refuses_to_start_over_is_found_before_any_other_is_emptied(lab: Lab) -> None:
    lab.records(range(20))
    lab.spec(BOTH)
    await lab.run()
    before = await keys(lab)

    with pytest.raises(SinkError, match=r"rows.*it holds rows.*`fresh: empty`.*nothing was deleted"):
        await lab.run(fresh=True)

    assert lab.numbers("out/all.jsonl") == list(range(20))
    assert rows(lab) == 20
    assert await keys(lab) == before
    assert (await lab.run()).finished

    lab.spec(BOTH.replace("create: true", "create: true, fresh: empty"))
    assert (await lab.run(fresh=True)).finished
    assert rows(lab) == 20


async def test_a_file_that_cannot_be_written_is_found_before_any_other_sink_is_emptied(lab: Lab) -> None:
    lab.records(range(20))
    lab.spec(BOTH.replace("create: true", "create: true, fresh: empty"))
    await lab.run()
    lab.spec(
        BOTH.replace("out/all.jsonl", "in.jsonl/all.jsonl").replace(
            "create: true", "create: true, fresh: empty"
        )
    )

    with pytest.raises(SinkError, match=r"stage 'out': file in.jsonl.*nothing was deleted"):
        await lab.run(fresh=True)

    assert rows(lab) == 20


async def test_a_redis_key_that_holds_something_is_found_before_any_other_sink_is_emptied(lab: Lab) -> None:
    key = f"kept:{lab.pipeline}"
    sink = f"list: {{from: read, sink: {{type: redis, kind: list, key: '{key}', value: n}}}}"
    lab.records(range(20))
    lab.spec(f"{READ}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}\n{sink}")
    await lab.run()

    with pytest.raises(SinkError, match=r"it holds something.*nothing was deleted"):
        await lab.run(fresh=True)

    assert lab.numbers("out/all.jsonl") == list(range(20))
    assert await lab.redis("LLEN", key) == 20
    await lab.redis("DEL", key)
