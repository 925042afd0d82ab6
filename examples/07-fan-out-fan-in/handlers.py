"""The Python of the pipeline beside this file."""

from __future__ import annotations

from typing import Any

from rsq_pipe import Context


def address(alert: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Say who is to be told, under an id by which whoever sends it can tell a repetition."""
    return {
        "id": ctx.rid,
        "to": ctx.values[alert["plant"]],
        "text": alert["text"],
    }
