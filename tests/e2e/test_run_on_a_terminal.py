"""What a run leaves on a terminal: every line it said, and one table."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import eventually
from tests.support.terminal import Terminal

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    check: {call: "handlers:check", batch: {size: 5}}
    out: {sink: {type: jsonl, path: out.jsonl}}
"""
HANDLERS = """
    import logging
    import sys
    import time

    def check(record):
        time.sleep(0.02)
        if record["n"] == 0:
            raise ValueError("the first one")
        if record["n"] % 10 == 3:
            print("printed", record["n"])
        if record["n"] % 10 == 5:
            print("complained", record["n"], file=sys.stderr)
        if record["n"] % 10 == 7:
            logging.getLogger("shop").warning("logged %s", record["n"])
        return record
"""
QUIET = """
    def check(record):
        return record
"""
SLOW = """
    import time

    def check(record):
        time.sleep(0.0003)
        return record
"""
STUCK = """
    import pathlib
    import time

    def check(record):
        pathlib.Path("began").touch()
        time.sleep(30)
"""
THREES, FIVES, SEVENS = range(3, 40, 10), range(5, 40, 10), range(7, 40, 10)


@pytest.fixture
def project(project: Project) -> Project:
    project.records(range(40))
    project.handlers(HANDLERS)
    project.spec(STAGES, defaults="defaults: {retry: {attempts: 1}}")
    return project


@pytest.mark.parametrize("columns", [40, 80, 110, 250])
def test_the_live_table_leaves_no_lines_behind_and_loses_none_of_others(
    project: Project, server: StreamServer, columns: int
) -> None:
    terminal = Terminal(columns)

    code = terminal.run("run", project.path, "--redis", server.url, cwd=project.root)

    text = "\n".join(terminal.lines)
    assert code == 4, text
    assert terminal.most_tables == (0 if columns == 40 else 1), text
    assert len(re.findall("^check$" if columns == 40 else "^check ", text, re.MULTILINE)) == 1, text
    for said, numbers in (("printed", THREES), ("complained", FIVES), ("logged", SEVENS)):
        for number in numbers:
            assert sum(line.endswith(f"{said} {number}") for line in terminal.lines) == 1, text
    assert "ValueError: the first one" in text.replace("\n", " ")
    if columns == 40:  # a paragraph a stage
        assert re.search(r"^check\n  in 40 +out 39 ", text, re.MULTILINE), text
        return
    summary = terminal.lines[
        terminal.lines.index(next(line for line in terminal.lines if "stage " in line)) :
    ]
    rows = [line.split()[:2] for line in summary[:4]]
    assert rows == [["stage", "in"], ["read", "40"], ["check", "40"], ["out", "39"]], text


@pytest.mark.parametrize("widths", [(200, 100, 180), (80, 200, 90, 120)])
def test_a_window_that_is_made_wider_and_narrower_leaves_no_lines_behind(
    project: Project, server: StreamServer, widths: tuple[int, ...]
) -> None:
    project.records(range(40, 120))
    first, *others = widths
    terminal = Terminal(first)

    code = terminal.run("run", project.path, "--redis", server.url, cwd=project.root, widths=others)

    text = "\n".join(terminal.lines)
    assert code == 4, text
    assert terminal.columns == widths[-1]
    assert terminal.most_tables == 1, text
    assert len(re.findall("^check ", text, re.MULTILINE)) == 1, text
    assert "logged 7" in text
    assert "logged 117" in text


@pytest.mark.parametrize("wish", ["", "1"])
def test_a_terminal_that_wants_no_colours_is_given_none(
    project: Project, server: StreamServer, wish: str
) -> None:
    terminal = Terminal(110)

    code = terminal.run("run", project.path, "--redis", server.url, cwd=project.root, NO_COLOR=wish)

    assert code == 4
    styles = {
        int(one) for found in re.findall(rb"\x1b\[([\d;]+)m", terminal.written) for one in found.split(b";")
    }
    assert bool(styles & {*range(30, 38), *range(90, 98)}) is not bool(wish)


def test_the_live_table_says_how_much_of_a_file_is_read_and_how_long_the_rest_takes(
    project: Project, server: StreamServer
) -> None:
    project.records(range(40, 20_000, 1), text="x" * 1_000)
    project.handlers(SLOW)
    project.spec(STAGES, top="max_backlog: 500")
    terminal = Terminal(110)

    code = terminal.run("run", project.path, "--redis", server.url, cwd=project.root)

    text = terminal.written.decode()
    assert code == 0
    shares = [int(found) for found in re.findall(r" (\d+)% read", text)]
    assert shares == sorted(shares)
    assert shares[0] < 50
    assert re.search(r"\d+% read, (\dm )?\d+s left", text)


def test_a_pipeline_that_prints_its_records_to_the_terminal_draws_no_table_between_them(
    project: Project, server: StreamServer
) -> None:
    project.handlers(QUIET)
    project.spec(STAGES.replace("jsonl, path: out.jsonl", "stdout"))
    terminal = Terminal(110)

    code = terminal.run("run", project.path, "--redis", server.url, cwd=project.root)

    assert code == 0
    lines = [line for line in terminal.lines if line.startswith("{")]
    assert sorted(json.loads(line)["n"] for line in lines) == list(range(40))
    assert terminal.most_tables == 1


@pytest.mark.parametrize(
    ("answer", "more", "left"),
    [(b"n\n", (), 1), (b"y\n", (), 0), (b"", ("--yes",), 0)],
    ids=["no", "yes", "--yes"],
)
def test_fresh_asks_before_it_deletes_dead_letters(
    project: Project, server: StreamServer, answer: bytes, more: tuple[str, ...], left: int
) -> None:
    words = (project.path, "--redis", server.url)
    begun = rsq_pipe("run", *words, cwd=project.root)
    assert begun.returncode == 4, begun.stderr
    project.handlers(QUIET)
    terminal = Terminal(110)

    code = terminal.run("run", "--fresh", *words, *more, cwd=project.root, answer=answer)

    text = "".join(terminal.lines)
    assert ("--fresh deletes 1 dead letter of" in text) == bool(answer)
    assert code == (130 if left else 0), text
    status = json.loads(rsq_pipe("status", *words, "--json", cwd=project.root).stdout)
    assert sum(stage["dead"] for stage in status["stages"]) == left


def test_fresh_asks_nothing_where_there_are_no_dead_letters(project: Project, server: StreamServer) -> None:
    project.handlers(QUIET)

    assert Terminal(80).run("run", project.path, "--fresh", "--redis", server.url, cwd=project.root) == 0


def test_a_second_signal_gives_the_terminal_its_cursor_back(project: Project, server: StreamServer) -> None:
    project.handlers(STUCK)
    project.spec(STAGES)
    terminal = Terminal(80)
    began = project.root / "began"

    with ThreadPoolExecutor() as pool:
        running = pool.submit(terminal.run, "run", project.path, "--redis", server.url, cwd=project.root)
        eventually(began.exists, what="the handler is called")
        eventually(lambda: terminal.most_tables == 1, what="the table is drawn")
        assert terminal.is_cursor_hidden

        def told() -> bool:  # again and again: two signals at once would be one
            terminal.interrupt()
            return running.done()

        eventually(told, what="the run ends")
        assert running.result() == 130

    assert not terminal.is_cursor_hidden
