"""Settings: what the file says of a stage, with what looks like a secret masked."""

from __future__ import annotations

import math
import re
from typing import Any

from rsq_pipe.redaction import MASK, redact
from rsq_pipe.spec.reading import stored_values

MAX_DEPTH = 20
_SECRET = re.compile(r"passw|secret|token|credential|api_?key|private_?key|authorization", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[^}]*\}")


def settings_of(text: str, stage: str) -> dict[str, Any]:
    """
    Read what a pipeline's file says of a stage, variables and secrets as they are written.

    Returns:
        Setting -> value; empty where the file is not kept, or is none.
    """
    file = stored_values(text)
    stages = file.get("stages") if isinstance(file, dict) else None
    settings = stages.get(stage) if isinstance(stages, dict) else None
    return _masked(settings, "", 0) if isinstance(settings, dict) else {}


def _masked(value: Any, name: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return "..."
    if isinstance(value, dict):
        return {str(key): _masked(one, str(key), depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one, name, depth + 1) for one in value]
    if isinstance(value, str):
        if _SECRET.search(name) and not _VARIABLE.fullmatch(value.strip()):
            return MASK
        return redact(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
