"""Rate limit: how fast a stage may go, read from its settings or again from a changed file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from rsq_pipe.errors import SpecValidationError
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.graph import RateLimit
from rsq_pipe.spec.models import Throttle
from rsq_pipe.spec.reading import read_document
from rsq_pipe.spec.validation import validate
from rsq_pipe.units import parse_rate

AT_ONCE = 0.1
"""Seconds whose records may be handled at once if no `burst` is given."""


def rate_limit(settings: Throttle) -> RateLimit | None:
    """Read the limit from a stage's settings; None if it has none."""
    if settings.rate is None:
        return None
    per_second = parse_rate(settings.rate)
    return RateLimit(settings.rate, per_second, settings.burst or max(1, math.ceil(per_second * AT_ONCE)))


def check_burst(document: Document, value: Mapping[str, object], path: Path_) -> None:
    """Report a `burst` without a `rate`."""
    if "burst" in value and value.get("rate") is None:
        what = "`burst` says how many records a `rate` lets through at once, and there is no `rate`"
        document.report((*path, "burst"), what, "add `rate: 500/s`, or remove `burst`", key=True)


def read_limits(path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, RateLimit | None]:
    """
    Read only the limits of a file's stages.

    Raises:
        SpecSyntaxError: The file cannot be read, or is not YAML.
        SpecValidationError: A limit is invalid.
    """
    document = read_document(path, environ)
    found: dict[str, RateLimit | None] = {}
    stages = document.value.get("stages") if isinstance(document.value, dict) else None
    for name, stage in stages.items() if isinstance(stages, dict) else ():
        if not isinstance(stage, dict):
            continue
        where: Path_ = ("stages", name)
        own = {key: stage[key] for key in Throttle.model_fields if key in stage}
        check_burst(document, own, where)
        settings = validate(document, Throttle, own, where)
        found[name] = None if settings is None else rate_limit(settings)
    if document.failed(()):
        raise SpecValidationError([one for one in document.problems if one.severity == "error"])
    return found
