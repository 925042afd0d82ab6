"""Source `exec`: the pause before a command is run again."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from rsq_pipe.connectors.exec.source import Options, connect


def test_a_command_that_fails_is_run_again_after_a_second_at_first(tmp_path: Path) -> None:
    told: list[float] = []

    def stop(_logger: object, _name: str, event: MutableMapping[str, Any]) -> str:
        told.append(event["after"])
        source.close()
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[stop], cache_logger_on_first_use=False)
    try:
        source = connect(Options.model_validate({"command": ["false"]}), stage="read", root=tmp_path)
        chunks = list(source.read("output", "", 10))
    finally:
        structlog.configure(**before)

    assert (chunks, told) == ([], [1.0])
