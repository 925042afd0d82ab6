"""A run whose consumer group or server lost its data ends with what can be done."""

from __future__ import annotations

import shlex

import pytest

from rsq_pipe.errors import GroupLostError
from tests.integration.engine.lab import Lab
from tests.integration.engine.resuming import PLAIN


async def test_a_group_that_an_earlier_run_made_and_is_gone_is_not_made_anew_in_silence(lab: Lab) -> None:
    lab.records(range(10))
    lab.spec(PLAIN)
    await lab.run()
    await lab.redis("XGROUP", "DESTROY", lab.key("read"), "out")

    with pytest.raises(GroupLostError, match=r"(?s)stage 'out' lost its place.*XGROUP CREATE.*--fresh"):
        await lab.run()


async def test_the_command_that_is_advised_for_a_lost_stream_makes_the_next_run_go_on(lab: Lab) -> None:
    lab.records(range(10))
    lab.spec(PLAIN)
    await lab.run()
    await lab.redis("DEL", lab.key("read"))
    with pytest.raises(GroupLostError) as lost:
        await lab.run()
    lab.records(range(10, 15))

    (command,) = advised(lost.value)
    await lab.redis(*command)

    await lab.run()
    assert lab.numbers("out/all.jsonl") == list(range(15))


async def test_a_lost_group_goes_on_behind_the_last_entry_that_is_known_to_be_done(lab: Lab) -> None:
    lab.records(range(10))
    lab.spec(PLAIN, top="keep: 1h")
    await lab.run()
    for counter in ("out:in", "out:retried"):  # attempts that failed, each followed by another
        await lab.redis("HINCRBY", lab.key("meta"), counter, 3)
    await lab.redis("XGROUP", "DESTROY", lab.key("read"), "out")
    lab.records(range(10, 15))
    with pytest.raises(GroupLostError, match="has done 10 records") as lost:
        await lab.run()

    known, repeat, _skip = advised(lost.value)
    await lab.redis(*known)

    await lab.run()
    assert repeat[-2:] == ["0", "MKSTREAM"]
    assert lab.numbers("out/all.jsonl") == list(range(15))


def advised(error: GroupLostError) -> list[list[str]]:
    """Take the commands for redis-cli out of a message."""
    lines = [line.strip() for line in str(error).splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("redis-cli")]


@pytest.mark.parametrize("loss", ["group", "stream"])
async def test_a_group_lost_in_mid_run_ends_the_run_with_what_can_be_done(lab: Lab, loss: str) -> None:
    lab.records(range(10))
    lab.spec(PLAIN)
    run = await lab.up(stages=["out"])

    if loss == "group":
        await lab.redis("XGROUP", "DESTROY", lab.key("read"), "out")
    else:
        await lab.redis("DEL", lab.key("read"))

    with pytest.raises(GroupLostError, match=r"(?s)stage 'out' lost its place.*XGROUP CREATE.*--fresh"):
        await run.ended()


async def test_a_server_that_lost_all_in_mid_run_is_told_from_a_group_that_was_lost(lab: Lab) -> None:
    lab.records(range(10))
    lab.spec(PLAIN)
    run = await lab.up(stages=["out"])

    await lab.redis("DEL", lab.key("meta"), lab.key("read"), lab.key("out:again"))

    with pytest.raises(GroupLostError, match=r"(?s)has lost all that pipeline .* run .*--fresh") as lost:
        await run.ended()
    assert advised(lost.value) == []
