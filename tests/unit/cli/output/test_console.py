"""Failures as people see them, on wide screens and narrow ones."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rsq_pipe.cli.output.console import console, failures
from rsq_pipe.ops.dead_letters.failure_groups import FailureGroups
from tests.unit.ops.dead_letter_entries import failed


@pytest.mark.parametrize("width", [40, 80, 110, 200])
def test_nothing_is_cut_off_however_narrow_the_screen(width: int) -> None:
    groups = FailureGroups()
    for at in (0.0, 86_400.0):
        groups.add(failed("there is no rate for the currency 'GBX' in the table of rates", at=at))
    screen = Console(file=io.StringIO(), width=width, highlight=False, markup=False)

    screen.print(failures(groups, screen))

    assert isinstance(screen.file, io.StringIO)
    shown = "".join(screen.file.getvalue().split())
    parts = ["price", "2", "handler_error", "ValueError:thereisnorateforthecurrency'GBX'inthetableofrates"]
    for part in (*parts, "1970-01-0100:00:00Z", "1970-01-0200:00:00Z", "price/1700000000000-5"):
        assert part in shown


def test_an_error_without_a_message_is_told_by_its_type_alone() -> None:
    groups = FailureGroups()
    groups.add(failed(""))
    screen = Console(file=io.StringIO(), width=80, highlight=False, markup=False)

    screen.print(failures(groups, screen))

    assert isinstance(screen.file, io.StringIO)
    assert "handler_error: ValueError\n" in screen.file.getvalue()


def test_where_there_is_no_terminal_every_failure_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    groups = FailureGroups()
    groups.add(failed("no rate for [GBX] " * 15))
    screen = console()

    screen.print(failures(groups, screen))

    head, line = capsys.readouterr().out.splitlines()
    assert head.startswith("stage ")
    assert "no rate for [GBX] " * 15 in line
