"""`rsq-pipe top`, driven by its keys on a screen in memory, over a real server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import DataTable, Static

from rsq_pipe import StreamClient
from rsq_pipe.cli.screen.app import StagesScreen, Top
from rsq_pipe.cli.screen.dead_letters import Confirm, DeadLetterScreen, DeadLettersScreen
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    odd: {map: {m: "1 / (n % 2)"}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""
HOSTILE = "[bold red]x[/] \x1b[31m"


@pytest.fixture
def project(name: str, tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", name)
    project.spec(STAGES)
    project.records(range(10), note=HOSTILE)
    return project


@pytest.fixture
def graph(project: Project, server: StreamServer) -> Graph:
    """A pipeline that has run, and left five dead letters."""
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    assert done.returncode == 4, done.stderr
    return load(project.path)


@pytest.fixture
async def pilot(graph: Graph, server: StreamServer) -> AsyncIterator[Pilot[None]]:
    async with (
        StreamClient.from_url(server.url) as client,
        Top(graph, client, 0.05).run_test(size=(160, 40)) as pilot,
    ):
        yield pilot


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    """Let the app work until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await pilot.pause(0.01)


def head(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one("#head", Static).render())


def notes(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one("#remarks Static", Static).render())


def rows(screen: Screen[Any]) -> list[list[str]]:
    table: DataTable[object] = screen.query_one(DataTable)
    return [[str(cell) for cell in table.get_row_at(at)] for at in range(table.row_count)]


def has_rows(pilot: Pilot[None], count: int) -> bool:
    return len(rows(pilot.app.screen)) == count


def is_on(pilot: Pilot[None], kind: type[Screen[Any]]) -> Callable[[], bool]:
    return lambda: isinstance(pilot.app.screen, kind)


async def on_the_stage(pilot: Pilot[None]) -> None:
    """Put the cursor on the stage that has dead letters."""
    await until(pilot, is_on(pilot, StagesScreen))
    await until(pilot, lambda: "not running" in head(pilot))
    await pilot.press("down")


async def on_the_letters(pilot: Pilot[None], count: int = 5) -> None:
    await on_the_stage(pilot)
    await pilot.press("enter")
    await until(pilot, is_on(pilot, DeadLettersScreen))
    await until(pilot, lambda: len(rows(pilot.app.screen)) == count)


def stage(project: Project, server: StreamServer) -> dict[str, object]:
    done = rsq_pipe("status", project.path, "--redis", server.url, "--json", cwd=project.root)
    found: dict[str, object] = json.loads(done.stdout)["stages"][1]
    return found


async def test_top_shows_every_stage_with_its_numbers(pilot: Pilot[None], project: Project) -> None:
    await until(pilot, lambda: "not running, drained" in head(pilot))

    shown = {row[0]: row[1:] for row in rows(pilot.app.screen)}

    assert project.pipeline in head(pilot)
    assert list(shown) == ["read", "odd (fused)", "out"]
    assert shown["odd (fused)"][4] == "5"  # dead
    assert [row[-1] for row in shown.values()] == ["10", "10", "5"]


async def test_p_pauses_the_stage_under_the_cursor_and_r_has_it_go_on(
    pilot: Pilot[None], project: Project, server: StreamServer
) -> None:
    await on_the_stage(pilot)

    await pilot.press("p")
    await until(pilot, lambda: rows(pilot.app.screen)[1][0].endswith("paused"))
    assert stage(project, server)["paused"] is not None

    await pilot.press("r")
    await until(pilot, lambda: not rows(pilot.app.screen)[1][0].endswith("paused"))
    assert stage(project, server)["paused"] is None


async def test_a_letter_is_shown_whole_with_what_a_terminal_would_act_on_as_text(pilot: Pilot[None]) -> None:
    await on_the_letters(pilot)

    await pilot.press("enter")
    await until(pilot, is_on(pilot, DeadLetterScreen))

    text = str(pilot.app.screen.query_one(Static).render())
    assert "ZeroDivisionError" in text
    assert '"note": "[bold red]x[/] \\u001b[31m"' in text
    await pilot.press("escape")
    await until(pilot, is_on(pilot, DeadLettersScreen))
    await pilot.press("escape")
    await until(pilot, is_on(pilot, StagesScreen))


async def test_a_letter_is_replayed_after_a_question_and_not_without_a_yes(
    pilot: Pilot[None], project: Project, server: StreamServer
) -> None:
    await on_the_letters(pilot)

    await pilot.press("r")
    await until(pilot, is_on(pilot, Confirm))
    await pilot.press("n")
    await until(pilot, is_on(pilot, DeadLettersScreen))
    assert stage(project, server)["dead"] == 5

    await pilot.press("r")
    await until(pilot, is_on(pilot, Confirm))
    await pilot.press("y")
    await until(pilot, lambda: is_on(pilot, DeadLettersScreen)() and len(rows(pilot.app.screen)) == 4)
    assert stage(project, server)["dead"] == 4


async def test_all_letters_of_a_stage_are_replayed_at_once(
    pilot: Pilot[None], project: Project, server: StreamServer
) -> None:
    await on_the_letters(pilot)

    await pilot.press("a")
    await until(pilot, is_on(pilot, Confirm))
    assert "Replay 5 dead letters to stage odd?" in str(pilot.app.screen.query_one(Static).render())
    await pilot.press("y")
    await until(pilot, lambda: is_on(pilot, DeadLettersScreen)() and not rows(pilot.app.screen))
    assert stage(project, server)["dead"] == 0


class TestManyLetters:
    @pytest.fixture
    def project(self, name: str, tmp_path: Path) -> Project:
        project = Project(tmp_path / "project", name)
        project.spec(STAGES)
        project.records(range(0, 1_000, 2))
        return project

    async def test_more_are_read_as_the_cursor_comes_to_the_end(self, pilot: Pilot[None]) -> None:
        await on_the_letters(pilot, 100)

        for expected in (200, 300, 400, 500):
            await pilot.press("ctrl+end")
            await until(pilot, partial(has_rows, pilot, expected))

        assert "500 dead letters" in head(pilot)


async def test_ctrl_c_ends_it_wherever_one_is(pilot: Pilot[None]) -> None:
    await pilot.press("ctrl+c")

    await until(pilot, lambda: not pilot.app.is_running)


async def test_ctrl_c_ends_it_in_a_question(pilot: Pilot[None]) -> None:
    await on_the_letters(pilot)
    await pilot.press("a")
    await until(pilot, is_on(pilot, Confirm))

    await pilot.press("ctrl+c")

    await until(pilot, lambda: not pilot.app.is_running)


async def test_a_server_that_is_away_is_said_to_be_and_looked_for_again(
    project: Project, own_server: StreamServer
) -> None:
    async with (
        StreamClient.from_url(own_server.url) as client,
        Top(load(project.path), client, 0.05).run_test(size=(160, 40)) as pilot,
    ):
        await until(pilot, is_on(pilot, StagesScreen))
        await until(pilot, lambda: "never ran" in head(pilot))
        own_server.kill()
        await until(pilot, lambda: "not reachable" in head(pilot))
        assert re.search(r"; what is shown is from \d+s ago$", head(pilot))
        own_server.start()
        await until(pilot, lambda: "never ran" in head(pilot))


async def test_a_server_that_is_full_is_said_to_be(project: Project, own_server: StreamServer) -> None:
    rsq_pipe("run", project.path, "--redis", own_server.url, cwd=project.root)
    async with (
        StreamClient.from_url(own_server.url) as client,
        Top(load(project.path), client, 0.05).run_test(size=(160, 40)) as pilot,
    ):
        await until(pilot, is_on(pilot, StagesScreen))
        await client.channel.execute("CONFIG", "SET", "maxmemory", "100kb", key="")
        await until(pilot, lambda: "! the server is full" in notes(pilot))
        await client.channel.execute("CONFIG", "SET", "maxmemory", "0", key="")
        await until(pilot, lambda: "! the server is full" not in notes(pilot))


def test_without_a_terminal_it_names_the_command_that_needs_none(project: Project) -> None:
    done = rsq_pipe("top", project.path, cwd=project.root)

    assert (done.returncode, done.stdout) == (2, "")
    assert "rsq-pipe status SPEC --watch" in done.stderr
