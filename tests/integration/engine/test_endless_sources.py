"""Sources that do not end with what is there: files that are followed, and folders that are watched."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from rsq_pipe.connectors.files.files import Files
from rsq_pipe.errors import SourceError
from rsq_pipe.ops.status import read_status
from tests.integration.engine.lab import Lab
from tests.support.signals import wait_until

FROZEN = 2.0
"""Seconds for which a process is frozen."""

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}\n"


def numbers(lab: Lab) -> list[int]:
    return lab.numbers("out/all.jsonl") if (lab.root / "out/all.jsonl").exists() else []


def add(path: Path, text: str, *, old: bool = False) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(text)
    if old:
        os.utime(path, (time.time() - 60,) * 2)


async def test_a_followed_file_is_read_as_it_grows_and_by_the_next_run_from_there(lab: Lab) -> None:
    lab.spec(f"read: {{source: {{type: csv, path: in/log.csv, types: {{n: int}}, follow: true}}}}\n{OUT}")
    path = lab.root / "in/log.csv"
    add(path, "n\n1\n2")
    run = await lab.up()
    await wait_until(lambda: numbers(lab) == [1], what="the line that is ended is written")

    add(path, "2\n3\n")
    await wait_until(lambda: numbers(lab) == [1, 3, 22], what="what was added is written")
    assert not run.task.done()
    assert not (await run.stop()).finished

    add(path, "4\n")
    second = await lab.up()
    await wait_until(lambda: numbers(lab) == [1, 3, 4, 22], what="the next run goes on")
    await second.stop()


async def test_new_files_of_a_watched_folder_are_read_though_there_was_none(lab: Lab) -> None:
    lab.spec(f"read: {{source: {{type: jsonl, path: 'in/*.jsonl', watch: true}}}}\n{OUT}")
    run = await lab.up()

    add(lab.root / "in/a.jsonl", '{"n": 1}\n', old=True)
    await wait_until(lambda: numbers(lab) == [1], what="the first file is written")
    add(lab.root / "in/b.jsonl", '{"n": 2}\n')
    await wait_until(lambda: numbers(lab) == [1, 2], what="the second file is written")

    await run.stop()


async def test_a_process_that_was_frozen_while_it_looked_looks_again_at_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.spec(f"read: {{source: {{type: jsonl, path: 'in/*.jsonl', watch: true}}}}\n{OUT}")
    looks = [0.0, 0.0, 0.0, FROZEN]
    frozen = threading.Event()
    look_for_files = Files.changed

    def changed(files: Files) -> list[str]:
        found = look_for_files(files)
        if found or not looks:
            return found
        time.sleep(looks.pop(0))  # as long as the process is frozen
        if not looks:
            frozen.set()
        return found

    monkeypatch.setattr(Files, "changed", changed)
    run = await lab.up()
    await wait_until(frozen.is_set, what="it was frozen")

    add(lab.root / "in/a.jsonl", '{"n": 1}\n', old=True)
    await wait_until(lambda: numbers(lab) == [1], timeout=5 * FROZEN, what="the file is written")

    await run.stop()


async def test_a_file_that_cannot_be_read_keeps_no_later_one_from_being_read_and_is_told_at_the_end(
    lab: Lab,
) -> None:
    lab.spec(f"read: {{source: {{type: csv, path: 'in/*.csv', types: {{n: int}}, watch: true}}}}\n{OUT}")
    add(lab.root / "in/a.csv", "n,n\n1,1\n", old=True)
    run = await lab.up()

    add(lab.root / "in/b.csv", "n\n2\n", old=True)
    await wait_until(lambda: numbers(lab) == [2], what="the other file is written")

    with pytest.raises(SourceError, match=r"in/a\.csv:1: .*'n' twice"):
        await run.stop()


async def test_a_watched_file_that_cannot_be_read_is_told_by_status_until_it_is_removed(lab: Lab) -> None:
    lab.spec(f"read: {{source: {{type: csv, path: 'in/*.csv', types: {{n: int}}, watch: true}}}}\n{OUT}")

    async def told() -> str:
        paused = (await read_status(lab.client, lab.graph)).stages[0].paused
        return paused.why if paused else ""

    add(lab.root / "in/a.csv", "n,n\n1,1\n", old=True)
    run = await lab.up()
    why = await wait_until(told, what="status tells")
    assert why.startswith("cannot go on with a file; the others are read: in/a.csv:1: ")

    add(lab.root / "in/b.csv", "n\n2\n", old=True)
    await wait_until(lambda: numbers(lab) == [2], what="the other file is written")
    assert await told() == why

    (lab.root / "in/a.csv").unlink()

    async def nothing() -> bool:
        return not await told()

    await wait_until(nothing, what="status tells nothing")
    await run.stop()
