"""`dev`: stages are started anew when their files change, and no record is lost or doubled by that."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support.command_line import start
from tests.support.project import Project
from tests.support.server import StreamServer

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl, follow: true}}
    one: {call: "first:work"}
    other: {call: "second:work"}
    double: {map: {m: n * 2}}
    write: {sink: {type: jsonl, path: out.jsonl}}
"""
FIRST = """
    import os
    from shared import VERSION

    def work(record):
        return {**record, "one": [os.getpid(), VERSION]}
"""
SECOND = """
    import os

    def work(record):
        return {**record, "other": [os.getpid(), 1]}
"""
PATIENCE = 90.0
"""Seconds for what it says: it starts four processes, one after another, before it says anything."""


class Dev:
    """Run `dev`, and read what it says."""

    def __init__(self, project: Project, *options: str) -> None:
        self._process = start("dev", "pipeline.yaml", *options, cwd=project.root, PYTHONUNBUFFERED="1")
        self.said: list[str] = []
        self._heard = threading.Condition()
        self._seen = 0
        streams = (self._process.stdout, self._process.stderr)
        self._threads = [threading.Thread(target=self._read, args=(stream,)) for stream in streams]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            with self._heard:
                self.said.append(line)
                self._heard.notify_all()

    def until(self, *words: str) -> str:
        """Wait for a line that holds these words, behind the one that was waited for before."""

        def found() -> str:
            for at in range(self._seen, len(self.said)):
                if all(word in self.said[at] for word in words):
                    self._seen = at + 1
                    return self.said[at]
            return ""

        with self._heard:
            assert self._heard.wait_for(found, PATIENCE) or found(), (words, "".join(self.said))
            return self.said[self._seen - 1]

    def stop(self) -> int:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for stream, thread in zip((self._process.stdout, self._process.stderr), self._threads, strict=True):
            assert stream is not None
            thread.join()
            stream.close()


class Writer:
    """Append records to a file without a pause, from a thread, until it is left."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stop = threading.Event()
        self.count = 0
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        with self._file.open("a") as file:
            while not self._stop.wait(0.002):
                file.write(json.dumps({"n": self.count}) + "\n")
                file.flush()
                self.count += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def project(project: Project) -> Project:
    project.spec(STAGES)
    module(project, "first", FIRST)
    module(project, "second", SECOND)
    module(project, "shared", "VERSION = 1\n")
    (project.root / "in.jsonl").touch()
    return project


def module(project: Project, name: str, text: str) -> None:
    """Write a module as editors do: beside the old one, and over it."""
    project.handlers(text)
    (project.root / "handlers.py").rename(project.root / f"{name}.py")


def until(what: Callable[[], bool], said: Callable[[], object]) -> None:
    waiting = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        if what():
            return
        waiting.wait(0.05)
    raise AssertionError(said())


def written(project: Project, what: Callable[[Any], int], value: int) -> Callable[[], bool]:
    """Say whether the last record that was written has this value: `dev` says "reloaded" before one has."""

    def says() -> bool:
        lines = project.lines_so_far("out.jsonl")
        return bool(lines) and what(json.loads(lines[-1])) == value

    return says


@pytest.mark.timeout(240)
def test_no_record_is_lost_or_doubled_while_stages_are_started_anew(
    project: Project, server: StreamServer
) -> None:
    with Dev(project, "--redis", server.url) as dev:
        dev.until("running", "3 processes")
        with Writer(project.root / "in.jsonl") as writer:
            until(lambda: len(project.lines_so_far("out.jsonl")) > 50, lambda: dev.said)
            for version in (2, 3):
                module(project, "shared", f"VERSION = {version}\n")
                dev.until("changed", "shared.py")
                assert "other" not in dev.until("reloaded", " one:")
                until(written(project, lambda record: record["one"][1], version), lambda: dev.said)
            project.path.write_text(project.path.read_text().replace("n * 2", "n * 3"))
            dev.until("changed", "pipeline.yaml")
            dev.until("reloaded", "read, double, write, one, other")
            until(written(project, lambda record: record["m"] - record["n"] * 3, 0), lambda: dev.said)
        until(lambda: len(project.lines_so_far("out.jsonl")) >= writer.count, lambda: dev.said)
        assert dev.stop() == 0

    records = project.lines("out.jsonl")
    assert sorted(record["n"] for record in records) == list(range(writer.count))
    assert {record["one"][1] for record in records} == {1, 2, 3}
    assert {record["m"] // max(record["n"], 1) for record in records if record["n"]} == {2, 3}
    # The stage whose module did not change kept its process until all were started anew.
    assert len({record["other"][0] for record in records}) == 2
    assert len(Counter(record["one"][0] for record in records)) == 4


@pytest.mark.timeout(240)
def test_what_is_wrong_is_shown_with_its_place_and_what_ran_before_keeps_running(
    project: Project, server: StreamServer
) -> None:
    with Dev(project, "--redis", server.url) as dev:
        dev.until("running")

        module(project, "first", "def work(record)\n    return record\n")
        dev.until("wrong", "pipeline.yaml:", "stages.one.call", "(first.py:1)")
        dev.until("what ran before keeps running")
        project.records([1])
        until(lambda: len(project.lines_so_far("out.jsonl")) == 1, lambda: dev.said)

        module(project, "first", FIRST)
        dev.until("reloaded", "one")

        project.path.write_text(project.path.read_text().replace("call:", "cal:", 1))
        dev.until("wrong", "unknown key 'cal'")
        project.path.write_text(project.path.read_text().replace("cal:", "call:", 1))
        dev.until("reloaded", "one")
        project.records([2])
        until(lambda: len(project.lines_so_far("out.jsonl")) == 2, lambda: dev.said)
        assert dev.stop() == 0

    assert project.numbers() == [1, 2]


@pytest.mark.timeout(240)
def test_a_file_that_strands_records_is_refused_with_the_choices_until_it_does_not(
    project: Project, server: StreamServer
) -> None:
    module(project, "second", 'def work(record):\n    raise ValueError("never")\n')
    project.records([1])
    right = project.path.read_text()
    with Dev(project, "--redis", server.url) as dev:
        dev.until("running")
        dev.until("dead-lettered")

        project.path.write_text(right.replace('other: {call: "second:work"}', 'renamed: {map: {r: "1"}}'))
        dev.until("refused")
        dev.until("'other' holds 1 dead letter")
        dev.until("--rename")
        dev.until("what ran before keeps running")

        project.path.write_text(right)
        dev.until("reloaded", "other")
        assert dev.stop() == 0


@pytest.mark.timeout(240)
def test_a_file_that_is_wrong_from_the_beginning_is_waited_for(
    project: Project, server: StreamServer
) -> None:
    module(project, "second", "def work(record:\n")
    with Dev(project, "--redis", server.url) as dev:
        dev.until("wrong", "second.py:")

        module(project, "second", SECOND)

        dev.until("running")
        assert dev.stop() == 0


@pytest.mark.timeout(240)
def test_sources_that_end_are_read_again_after_each_change_with_fresh(
    project: Project, server: StreamServer
) -> None:
    project.path.write_text(project.path.read_text().replace(", follow: true", ""))
    project.records([1, 2])
    with Dev(project, "--redis", server.url, "--fresh") as dev:
        dev.until("done", "all sources were read")
        module(project, "shared", "VERSION = 2\n")
        dev.until("reloaded")
        dev.until("done")
        assert dev.stop() == 0

    assert [(record["n"], record["one"][1]) for record in project.lines()] == [(1, 2), (2, 2)]


@pytest.mark.timeout(240)
def test_sources_that_have_ended_are_told_of_and_read_on_after_a_change(
    project: Project, server: StreamServer
) -> None:
    project.path.write_text(project.path.read_text().replace(", follow: true", ""))
    project.records([1, 2])
    with Dev(project, "--redis", server.url) as dev:
        dev.until("done", "all sources were read to their end; waiting for a change")
        project.records([3])
        module(project, "shared", "VERSION = 2\n")
        dev.until("reloaded", "one")
        dev.until("done")
        assert dev.stop() == 0

    assert [(record["n"], record["one"][1]) for record in project.lines()] == [(1, 1), (2, 1), (3, 2)]


def test_its_processes_end_when_it_is_killed(project: Project, server: StreamServer) -> None:
    with Dev(project, "--redis", server.url) as dev:
        dev.until("running")
        project.records([1])
        until(lambda: len(project.lines_so_far("out.jsonl")) == 1, lambda: dev.said)
        (record,) = project.lines()
    pid = record["one"][0]

    def is_gone() -> bool:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return not state.stdout.strip() or state.stdout.startswith("Z")

    until(is_gone, lambda: dev.said)
