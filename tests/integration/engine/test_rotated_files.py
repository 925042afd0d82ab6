"""Sinks that write parts: a whole run leaves finished parts, with each record in one of them once."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from pathlib import Path

from tests.integration.engine.lab import Lab
from tests.support.signals import wait_until

SPEC = """\
read: {source: {type: jsonl, path: 'in/*.jsonl', follow: true}, batch: {size: 10}}
out: {batch: {size: 10}, sink: {type: jsonl, path: out/all.jsonl, rotate: {size: 200B}}}
"""


def seen(root: Path) -> dict[str, list[int]]:
    """Read the parts that can be seen."""
    parts = sorted((root / "out").glob("all-*.jsonl"))
    return {path.name: [json.loads(line)["n"] for line in path.read_text().splitlines()] for path in parts}


def written(root: Path) -> int:
    """Count the lines of all parts, those that cannot be seen yet, too."""
    total = 0
    for path in (root / "out").glob("*all-*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # it was renamed between the two looks
            total += len(path.read_text().splitlines())
    return total


def reached(root: Path, total: int) -> bool:
    return written(root) == total


async def add(root: Path, numbers: range) -> None:
    """Add records by twenty, so that each twenty is a batch of its own."""
    (root / "in").mkdir(exist_ok=True)
    for begin in range(numbers.start, numbers.stop, 20):
        with (root / "in/a.jsonl").open("a") as file:
            file.writelines(f'{{"n": {n}}}\n' for n in range(begin, begin + 20))
        await wait_until(partial(reached, root, begin + 20), what="the batch is written")


async def test_a_part_has_as_many_records_as_it_may(lab: Lab) -> None:
    lab.spec(SPEC.replace("size: 200B", "records: 60"))
    (lab.root / "in").mkdir()
    (lab.root / "in/a.jsonl").touch()
    run = await lab.up()
    await add(lab.root, range(200))
    await run.stop()

    after = seen(lab.root)
    assert sorted(n for part in after.values() for n in part) == list(range(200))
    assert [len(part) for part in after.values()] == [60, 60, 60, 20]


async def test_parts_are_seen_as_they_are_finished_the_last_when_the_run_stops_and_no_record_twice(
    lab: Lab,
) -> None:
    lab.spec(SPEC)
    (lab.root / "in").mkdir()
    (lab.root / "in/a.jsonl").touch()
    run = await lab.up()
    await add(lab.root, range(100))
    before = seen(lab.root)
    assert len(before) == 2
    await run.stop()
    assert sum(map(len, seen(lab.root).values())) == 100

    second = await lab.up()
    await add(lab.root, range(100, 200))
    await second.stop()

    after = seen(lab.root)
    assert sorted(n for part in after.values() for n in part) == list(range(200))
    assert {name: after[name] for name in before} == before
    assert list(after) == [f"all-{n + 1:06}.jsonl" for n in range(len(after))]
    assert [path.name for path in (lab.root / "out").iterdir() if path.name.startswith(".")] == []
