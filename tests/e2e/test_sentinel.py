"""A run whose primary dies goes on at the one that the sentinels choose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.sentinels import Watch
from tests.support.server import binaries
from tests.support.signals import PATIENCE, eventually

BINARIES = binaries()
KIND = "redis" if "redis" in BINARIES else "valkey"
"""One of them, preferably with the sentinel of Debian's package: an election takes its seconds."""

COUNT = 2_000

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    double: {call: "handlers:double"}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""

HANDLERS = """
    import time

    def double(record):
        time.sleep(0.001)
        return {**record, "twice": 2 * record["n"]}
"""


@pytest.fixture
def watch() -> Iterator[Watch]:
    with Watch(BINARIES[KIND], password="of-servers", sentinel_password="of-sentinels") as running:
        yield running


def test_a_run_goes_on_through_the_death_of_its_primary_and_of_a_sentinel(
    tmp_path: Path, watch: Watch
) -> None:
    project = Project(tmp_path / "project", "orders")
    project.records(range(COUNT))
    project.handlers(HANDLERS)
    project.spec(STAGES, top=f'redis: {{url: "{watch.url}"}}\nmax_backlog: 200')
    printed = rsq_pipe("acl", project.path, cwd=project.root).stdout.replace(">PASSWORD", ">of-users")
    watch.tell_all(printed.splitlines())
    as_user = watch.url.replace("//:of-servers@", "//orders:of-users@")
    assert as_user != watch.url
    project.spec(STAGES, top=f'redis: {{url: "{as_user}"}}\nmax_backlog: 200')

    run = start("run", project.path, cwd=project.root)
    with run:
        eventually(lambda: len(project.lines_so_far()) > COUNT // 8, what="the run is under way")
        old = watch.primary
        watch.sentinels[0].kill()
        old.kill()
        watch.until(lambda: watch.primary is not old, "a new primary")
        old.start()  # by now a replica, as soon as the sentinels have seen it
        _, told = run.communicate(timeout=PATIENCE)

    assert run.returncode == 0, told
    assert project.numbers("out/all.jsonl") == list(range(COUNT))
    gone = f"127.0.0.1:{old.port}"
    assert f"server {gone} works again" not in told
    assert "server orders of 127.0.0.1:" in told
    assert "of-users" not in told
    assert "of-sentinels" not in told
    again = rsq_pipe("run", project.path, cwd=project.root)
    assert (again.returncode, project.numbers("out/all.jsonl")) == (0, list(range(COUNT)))
