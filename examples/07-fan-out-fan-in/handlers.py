"""The Python of the pipeline in this folder."""

from __future__ import annotations

from typing import Any

from rsq_pipe import Context


def address(alert: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Say who gets the alert, with an id by which its sender recognises a repetition."""
    return {
        "id": ctx.rid,
        "to": ctx.values[alert["plant"]],
        "text": alert["text"],
    }
