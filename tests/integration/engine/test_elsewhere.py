"""A run says so where its pipeline is run, or was, from another file: they would share everything."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from tests.integration.engine.lab import READ, Lab

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
PLAIN = f"{READ}\n{OUT}"
ANOTHER = "this pipeline was last run from another file"
VERSION = "another version of this pipeline's file is being run"


def warnings(logs: list[Any], of: str) -> list[Any]:
    return [line for line in logs if line["event"].startswith(of) and line["log_level"] == "warning"]


async def twin(lab: Lab, root: Path) -> Lab:
    """Copy the project, as somebody does who begins another pipeline with it."""
    shutil.copytree(lab.root, root, dirs_exist_ok=True)
    made = Lab.__new__(Lab)
    made.__dict__.update(lab.__dict__ | {"root": root})
    return made


async def test_a_run_of_a_copied_file_that_kept_its_name_says_where_the_other_one_is(
    lab: Lab, tmp_path: Path
) -> None:
    lab.records(range(3))
    lab.spec(PLAIN)
    with capture_logs() as logs:
        await lab.run()
    assert not warnings(logs, ANOTHER)
    copy = await twin(lab, tmp_path / "copy")

    with capture_logs() as logs:
        await copy.run()
        await copy.run()

    (told,) = warnings(logs, ANOTHER)
    assert told["last"] == str(lab.path)


async def test_a_file_that_was_moved_is_no_other_one(lab: Lab, tmp_path: Path) -> None:
    lab.records(range(3))
    lab.spec(PLAIN)
    await lab.run()
    moved = await twin(lab, tmp_path / "moved")
    lab.path.unlink()

    with capture_logs() as logs:
        await moved.run()

    assert not warnings(logs, ANOTHER)


async def test_a_run_beside_one_of_an_older_version_of_the_file_names_it(lab: Lab) -> None:
    lab.records(range(3))
    lab.spec(PLAIN)
    old = await lab.up(stages=["out"])
    with capture_logs() as logs:
        same = await lab.up(stages=["out"])
        await same.stop()
    assert not warnings(logs, VERSION)
    lab.spec(f"{READ}\nm: {{map: {{m: n + 1}}}}\n{OUT}")
    await old.stop()
    old = await lab.up(stages=["out"])
    lab.spec(f"{READ}\nm: {{map: {{m: n + 2}}}}\n{OUT}")

    with capture_logs() as logs:
        new = await lab.up()

    (told,) = warnings(logs, VERSION)
    assert told["runs"].startswith("run-")
    await new.ended()
    await old.stop()
