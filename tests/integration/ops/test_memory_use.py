"""What takes the memory of a full server."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.engine.changes import provision
from rsq_pipe.ops import memory_use
from rsq_pipe.ops.bounds import Bounds
from rsq_pipe.ops.status import PipelineStatus, read_status
from tests.integration.engine.lab import READ, Lab
from tests.support.server import StreamServer

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
MIB = 1 << 20
TEXT = "x" * 1_000


async def test_a_full_server_names_what_takes_its_memory_and_not_the_one_dead_letter(
    own_server: StreamServer, name: str, tmp_path: Path
) -> None:
    lab = Lab(tmp_path, name, own_server.url)
    lab.spec(f"{READ}\nadd: {{map: {{m: n + 1}}}}\n{OUT}")
    await provision.lay(lab.client, lab.graph)
    await lab.redis("XADD", lab.key("add:dlq"), "*", "data", '{"n": 1}')
    for _ in range(4_000):
        await lab.redis("XADD", lab.key("read"), "*", "data", TEXT)
    for part in range(60):  # not at once: the server would keep a buffer of that size for a while
        await lab.redis("SET", f"other-{name}-{part}", "y" * (MIB // 10))

    idle = await read_status(lab.client, lab.graph)
    full = await when_full(lab)

    assert idle.memory_use == ()
    others, read, *_ = (use for use in full.memory_use if use.what != "server")
    assert [(use.what, use.name) for use in (others, read)] == [("others", ""), ("input", "add")]
    assert others.bytes == pytest.approx(6 * MIB, rel=0.3)
    assert read.bytes == pytest.approx(4 * MIB, rel=0.3)
    (breach,) = Bounds().breaches(full)
    assert "the input of stage 'add' (4,000 records to do)" in breach.text
    assert "dead letter" not in breach.text
    await lab.redis("ACL", "SETUSER", "default", "-memory")
    (counted,) = Bounds().breaches(await read_status(lab.client, lab.graph))
    assert "4,000 records that wait, most for stage 'add'" in counted.text, "a user who may not ask for sizes"
    await lab.close()


async def test_a_large_state_is_measured_by_some_of_its_parts(
    own_server: StreamServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_use, "PARTS", 10)
    lab = Lab(tmp_path, name, own_server.url)
    lab.spec(f"{READ}\nonce: {{dedupe: {{key: key, within: 1h}}}}\n{OUT}")
    await provision.lay(lab.client, lab.graph)
    for part in range(40):
        await lab.redis("ZADD", lab.key("once:timers"), part, part)
        await lab.redis("HSET", lab.key(f"once:state:{part}"), "a", "y" * 100_000)

    (state,) = (use for use in (await when_full(lab)).memory_use if use.what == "state")

    assert state.name == "once"
    assert state.bytes == pytest.approx(40 * 100_000, rel=0.3)
    await lab.close()


async def when_full(lab: Lab) -> PipelineStatus:
    await lab.redis("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await lab.redis("CONFIG", "SET", "maxmemory", "2mb")
    status = await read_status(lab.client, lab.graph)
    assert status.full
    return status
