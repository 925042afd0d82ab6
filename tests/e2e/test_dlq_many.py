"""`rsq-pipe dlq` with a hundred thousand dead letters: bounded memory, and a replay that is cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.dlq_shop import FILL, Shop, on_one_server
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually

MANY = 100_000
MEMORY = 16 * 1024  # KiB that a list of many may take beyond a list of few


@pytest.fixture
def shop(server: StreamServer, name: str, tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop", name, server)


@pytest.fixture
def many(shop: Shop) -> Callable[[int], Shop]:
    """Fill the queue of `price` with dead letters."""

    def fill(number: int) -> Shop:
        shop.records([0], price=1)
        shop.run()
        key = f"{{{shop.pipeline}}}:price:dlq"
        shop.redis("EVAL", FILL, 2, key, f"{{{shop.pipeline}}}:meta", number, "x" * 200)
        return shop

    return fill


@pytest.fixture
def ended() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are killed when the test is over."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_a_hundred_thousand_dead_letters_are_listed_in_bounded_memory(many: Callable[[int], Shop]) -> None:
    shop = many(100)
    few, _ = listed(shop)
    many(MANY)

    more, total = listed(shop)

    assert total == MANY + 100
    assert more - few < MEMORY


def listed(shop: Shop) -> tuple[int, int]:
    """List, and return the process's largest memory in KiB, and how many dead letters it found."""
    process = shop.start("dlq", "list", "pipeline.yaml", "--json", anew=True)
    assert process.stdout is not None
    assert process.stderr is not None
    total = sum(json.loads(line)["count"] for line in process.stdout)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    assert process.returncode == 0
    return usage.ru_maxrss, total


def test_a_replay_that_is_killed_loses_and_doubles_nothing(
    many: Callable[[int], Shop], ended: list[subprocess.Popen[str]]
) -> None:
    shop = many(3000)
    process = shop.start("dlq", "replay", "pipeline.yaml", "--yes", "--rate", "1000/s")
    ended.append(process)
    eventually(lambda: shop.length("price:again") > 200, what="the replay is in its middle")

    process.kill()
    process.wait(timeout=PATIENCE)
    moved = shop.length("price:again")
    (rest,) = shop.documents("replay", "--yes")

    assert 200 < moved < 3000
    assert rest["moved"] == 3000 - moved
    assert shop.length("price:dlq") == 0
    assert rids(shop) == {f"read:{n}" for n in range(1, 3001)}
    assert shop.length("price:again") == 3000


@on_one_server
def test_an_interrupted_replay_says_how_many_it_moved(
    many: Callable[[int], Shop], ended: list[subprocess.Popen[str]]
) -> None:
    shop = many(3000)
    process = shop.start("dlq", "replay", "pipeline.yaml", "--yes", "--rate", "1000/s")
    ended.append(process)
    eventually(lambda: shop.length("price:again") > 200, what="the replay is in its middle")

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert f"{shop.length('price:again'):,} dead letters replayed" in out
    assert "the same command goes on" in err


def rids(shop: Shop) -> set[str]:
    return {
        fields["rsq-rid"] for _, fields in shop.redis("XRANGE", f"{{{shop.pipeline}}}:price:again", "-", "+")
    }
