"""Source `exec`: the pause before a command is run again."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from rsq_pipe.connectors.exec.source import Options, connect


@pytest.mark.parametrize(
    ("command", "pauses"),
    [
        ("false", [0.1, 0.2, 0.4]),
        ("echo '{}'; false", [0.1, 0.2, 0.4]),  # it failed as soon as it had begun
        ("echo '{}'", [1.0, 1.0, 1.0]),
    ],
)
def test_a_command_is_run_again_soon_if_it_failed_and_not_too_often(
    tmp_path: Path, command: str, pauses: list[float]
) -> None:
    told: list[float] = []

    def stop(_logger: object, _name: str, event: MutableMapping[str, Any]) -> str:
        told.append(event["after"])
        if len(told) == len(pauses):
            source.close()
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[stop], cache_logger_on_first_use=False)
    try:
        options = Options.model_validate({"shell": command, "restart": "always"})
        source = connect(options, stage="read", root=tmp_path)
        list(source.read("output", "", 10))
    finally:
        structlog.configure(**before)

    assert told == pauses


def test_a_progress_bar_on_standard_error_is_logged_and_not_held_until_its_line_ends(tmp_path: Path) -> None:
    command = {"shell": "head -c 300000 /dev/zero | tr '\\0' x >&2; echo '{\"n\": 1}'"}
    with capture_logs() as logs:
        source = connect(Options.model_validate(command), stage="read", root=tmp_path)
        chunks = list(source.read("output", "", 10))

    said = [line["said"] for line in logs if line["event"] == "a command says"]
    assert said == ["x" * 1_000] * 5
    assert [chunk.records for chunk in chunks] == [[{"n": 1}]]
