"""Frames on a terminal that becomes narrower: the last is wiped, wrapped lines included, and no more."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator

import pyte
import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rsq_pipe.cli.output.frames import Frames, SharedConsole

UP = "\x1b[1A"


@pytest.fixture
def threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def drawn(width: int, frame: str) -> tuple[Frames, Console, io.StringIO]:
    """Draw a frame on a screen of some width."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    live.start()
    frames = Frames(live)
    frames.draw(Text(frame))
    screen.seek(0)
    screen.truncate()
    return frames, console, screen


def test_rows_that_a_narrower_screen_wraps_are_wiped_as_well() -> None:
    frames, console, screen = drawn(100, f"{'a' * 80}\n{'b' * 95}\nc")

    console.width = 40
    frames.resized()

    # Two of the first line, three of the second, one of the third; the cursor stands in the last.
    assert screen.getvalue().count(UP) == 2 + 3 + 1 - 1


def test_what_fits_into_the_narrower_screen_is_wiped_as_it_was_drawn() -> None:
    frames, console, screen = drawn(100, "a\nb\nc")

    console.width = 40
    frames.resized()

    assert screen.getvalue().count(UP) == 2


def test_a_wider_screen_wraps_nothing() -> None:
    frames, console, screen = drawn(100, f"{'a' * 80}\nb")

    console.width = 200
    frames.resized()

    assert screen.getvalue().count(UP) == 1


@pytest.mark.usefixtures("threads_take_turns_often")
def test_lines_that_a_thread_prints_while_frames_are_drawn_stand_above_them_and_no_frame_is_left() -> None:
    screen = io.StringIO()
    console = SharedConsole(file=screen, force_terminal=True, width=80, color_system=None)
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
    with console:
        live.start()
    frames = Frames(live)

    def print_lines() -> None:
        for number in range(300):
            console.print(f"line {number}")

    printing = threading.Thread(target=print_lines)
    printing.start()
    for turn in range(300):
        frames.draw(Text("\n".join(["frame"] * (1 + turn % 5))))
    printing.join()
    with console:
        live.stop()

    seen = pyte.Screen(80, 400)
    pyte.Stream(seen).feed(screen.getvalue().replace("\n", "\r\n"))
    lines = [line.rstrip() for line in seen.display]
    assert [line for line in lines if line] == [f"line {number}" for number in range(300)]
