"""Notice: logs lines about a file for the user."""

from __future__ import annotations

from typing import Literal


def notice(level: Literal["info", "warning"], what: str, stage: str, file: str) -> None:
    """Log a line about a file."""
    # Here, because it takes 80 ms to import, and `validate` imports the sources but logs nothing.
    import structlog  # noqa: PLC0415

    getattr(structlog.get_logger("rsq_pipe"), level)(what, stage=stage, file=file)
