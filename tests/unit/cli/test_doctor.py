"""`rsq-pipe doctor`: its findings, printed."""

from __future__ import annotations

import pytest

from rsq_pipe.cli.doctor import _show
from rsq_pipe.ops.doctor.facts import Finding


def test_where_there_is_no_terminal_no_line_of_a_finding_is_broken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen, holds, mend = ("it says so at some length " * 12 + end for end in ("a", "b", "c"))

    _show("db:6379", [Finding("persistence", "warning", seen, holds, mend)])

    assert capsys.readouterr().out.splitlines() == [
        *("db:6379", ""),
        f"warning persistence: {seen}",
        f"        {holds}",
        f"        -> {mend}",
        *("", "1 warning"),
    ]
