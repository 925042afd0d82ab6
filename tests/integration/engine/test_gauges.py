"""Gauges: what is measured beside the look, and what the look at a pipeline at rest leaves out."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rsq_pipe.engine.changes import provision
from rsq_pipe.engine.housekeeping.gauges import measure
from rsq_pipe.engine.state.state import read_state
from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab

DROPS = """
    from rsq_pipe import Drop

    def work(record):
        return Drop("even") if record["n"] % 2 == 0 else record
"""


@pytest.fixture
async def rested(lab: PackedLab) -> PackedLab:
    """A pipeline that has dropped five of ten records, and is at rest."""
    lab.handlers(DROPS)
    lab.spec(f'{READ}\nwork: {{call: "handlers:work"}}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}')
    lab.records(range(10))
    await lab.run()
    return lab


@pytest.fixture
def sent(rested: PackedLab, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that are sent from now on."""
    names: list[str] = []
    channel = rested.client.channel
    exchange, transaction = channel.exchange, channel.transaction

    async def noted_exchange(commands: Any, **named: Any) -> Any:
        names.extend(str(command[0]) for command in commands)
        return await exchange(commands, **named)

    async def noted_transaction(commands: Any, **named: Any) -> Any:
        names.extend(str(command[0]) for command in commands)
        return await transaction(commands, **named)

    monkeypatch.setattr(channel, "exchange", noted_exchange)
    monkeypatch.setattr(channel, "transaction", noted_transaction)
    return names


async def test_of_stages_at_rest_the_age_of_what_is_pending_is_not_asked_for(
    rested: PackedLab, sent: list[str]
) -> None:
    state = await rested.state()
    sent.clear()

    gauges = await measure(rested.client, rested.graph, state)

    assert (sent, gauges["work"].oldest_pending, gauges["work"].counters["in"]) == ([], 0.0, 10)


async def test_of_a_stage_with_pending_entries_it_is(rested: PackedLab, sent: list[str]) -> None:
    await rested.append("read", 1)
    await rested.read("work", "read", 1)
    state = await rested.state()
    sent.clear()

    gauges = await measure(rested.client, rested.graph, state)

    assert sent == ["XPENDING"] * 2 + ["XINFO"] * 2 + ["XRANGE"] * 2  # its own stream, and the one above
    assert gauges["work"].oldest == gauges["work"].oldest_pending > 0


async def test_a_record_that_nobody_has_read_is_the_oldest_even_while_newer_ones_are_pending(
    rested: PackedLab,
) -> None:
    await rested.append("read", 1)
    waiting = (await measure(rested.client, rested.graph, await rested.state()))["work"]
    assert waiting.oldest_pending == 0 < waiting.oldest

    await rested.redis(
        "XADD", rested.key("work:again"), f"{round(time.time() * 1000) - 700_000}-0", "data", "1"
    )
    await rested.read("work", "read", 1)
    both = (await measure(rested.client, rested.graph, await rested.state()))["work"]

    assert 0 < both.oldest_pending < 600
    assert both.oldest >= 700


async def test_an_id_that_was_set_by_hand_has_no_age(lab: PackedLab) -> None:
    lab.spec(
        "out: {from: {stream: in}, sink: {type: jsonl, path: out/all.jsonl}}".replace(
            "in}", f"{lab.pipeline}-in}}"
        )
    )
    await provision.lay(lab.client, lab.graph)
    await lab.redis("XADD", f"{lab.pipeline}-in", "5-0", "data", "{}")

    gauges = await measure(lab.client, lab.graph, await read_state(lab.client, lab.graph))

    assert (gauges["out"].lag, gauges["out"].oldest) == (1, 0.0)


async def test_the_reasons_of_drops_are_known_from_before_while_no_record_was_counted(
    rested: PackedLab, sent: list[str]
) -> None:
    known = await rested.state()
    sent.clear()

    assert await read_state(rested.client, rested.graph, known) == known

    assert "HGETALL" not in sent
    assert known.counters["work:dropped:even"] == 5


async def test_counts_are_read_again_once_a_record_was_counted(rested: PackedLab) -> None:
    known = await rested.state()
    rested.records(range(20))
    await rested.run()

    state = await read_state(rested.client, rested.graph, known)

    assert state == await rested.state()
    assert state.counters["work:dropped:even"] > known.counters["work:dropped:even"]
