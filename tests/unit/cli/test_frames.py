"""Frames on a terminal that becomes narrower: the last is wiped, wrapped lines included, and no more."""

from __future__ import annotations

import io

from rich.console import Console
from rich.live import Live
from rich.text import Text

from rsq_pipe.cli.frames import Frames

UP = "\x1b[1A"


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
