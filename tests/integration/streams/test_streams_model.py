"""Whatever three consumers do, in any order, streams, pending lists and counts hold what they must."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from rsq_pipe.streams.script import PROMOTE, REDELIVER, SETTLE, TRIM, Script
from tests.integration.streams.streams_model import StreamsModel
from tests.support.server import StreamServer, binaries

SABOTAGES: dict[str, tuple[Script, str, str]] = {
    "an entry delivered again since is settled": (SETTLE, "or found == deliveries + 0", "or true"),
    "another consumer's entry is settled": (SETTLE, "gone[#gone + 1], gone[#gone + 2] =", "local _, _ ="),
    "counts are written for entries taken over": (SETTLE, "if #fenced > 0 then", "if false then"),
    "a position is moved from any other": (SETTLE, "if stored ~= expected then", "if false then"),
    "an entry stays pending": (SETTLE, "for _, range in ipairs(ranges) do", "for _, range in ipairs({}) do"),
    "another consumer's entry is delivered": (REDELIVER, "id, id, 1, ARGV[2])", "id, id, 1)"),
    "a pending entry is trimmed": (TRIM, "if before(oldest, needs) then", "if false then"),
    "a retry comes back twice": (PROMOTE, "redis.call('ZREM', KEYS[1], member)", ""),
}


@pytest.fixture(scope="module")
def one_server() -> Iterator[StreamServer]:
    """A server of one kind: what a search finds does not depend on it."""
    with StreamServer(next(iter(binaries().values()))) as running:
        yield running


def search(server: StreamServer, *, examples: int) -> None:
    """Try so many histories of 30 steps each, the same ones each time."""
    machine = type("Streams", (StreamsModel,), {"url": server.url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],  # shrinking a history takes minutes
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_streams_hold_what_the_model_holds(server: StreamServer) -> None:
    search(server, examples=15)


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_script_without_its_safety_is_found_out(
    sabotage: str, one_server: StreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, safety, instead = SABOTAGES[sabotage]
    assert script.source.count(safety) == 1
    unsafe = Script(script.name)
    unsafe.source = script.source.replace(safety, instead)
    monkeypatch.setattr(script, "source", unsafe.source)
    monkeypatch.setattr(script, "sha", "0" * 40)  # no server knows it: the source is sent

    with pytest.raises(AssertionError):
        search(one_server, examples=60)
