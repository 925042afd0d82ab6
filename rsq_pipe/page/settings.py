"""Settings: what the file says of a stage, with what looks like a secret masked."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import yaml
from yamlcore import CCoreLoader

from rsq_pipe.redaction import MASK, redact

MAX_DEPTH = 20
_SECRET = re.compile(r"passw|secret|token|credential|api_?key|private_?key|authorization", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[^}]*\}")


def settings_of(text: str, stage: str) -> dict[str, Any]:
    """
    Read what a pipeline's file says of a stage, variables and secrets as they are written.

    Returns:
        Setting -> value; empty where the file is not kept, or is none.
    """
    try:
        _refuse_references(text)
        found = yaml.load(text, CCoreLoader)  # noqa: S506  it makes plain values alone
        settings = found["stages"][stage]
        json.dumps(settings)
    except (yaml.YAMLError, TypeError, KeyError, ValueError, RecursionError):
        return {}
    return _masked(settings, "", 0) if isinstance(settings, dict) else {}


def _refuse_references(text: str) -> None:
    """Refuse what a few lines can make huge; such a file shows no settings."""
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=CCoreLoader)):
        raise yaml.YAMLError("it has aliases")


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
