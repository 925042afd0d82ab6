"""Structlog alone: imports structlog without rich, whose tracebacks show local variables: unwanted here."""

from __future__ import annotations

import sys
from typing import Any


def _without_rich() -> None:
    """Import structlog without rich, which with pygments and attrs takes longer than all the rest."""
    if "structlog" in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    rich = modules.get("rich")
    modules["rich"] = None  # Python's own way of marking a module as absent
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        if rich is None:
            del modules["rich"]
        else:
            modules["rich"] = rich


_without_rich()
