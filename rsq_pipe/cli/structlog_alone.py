"""Imports structlog without rich, which it would use for tracebacks that show local variables: never here."""

from __future__ import annotations

import sys
from typing import Any


def _without_rich() -> None:
    """Import structlog; its rich, with pygments and attrs behind it, takes longer than all the rest of it."""
    if "structlog" in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    rich = modules.get("rich")
    modules["rich"] = None  # Python's own way to say that there is no such module
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        if rich is None:
            del modules["rich"]
        else:
            modules["rich"] = rich


_without_rich()
