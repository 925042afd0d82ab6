"""Remembering: by what a stage with state knows again what it remembers."""

from __future__ import annotations

from typing import Any

from rsq_pipe.spec.stages.aggregate import Aggregation
from rsq_pipe.spec.stages.dedupe import Deduplication
from rsq_pipe.spec.stages.join import Joining

REMEMBERS = "remembers"
"""The digest of that, among those of a stage's settings; what else is changed leaves the state as it is."""


def remembers(options: Any) -> list[str] | None:
    """
    List what a state is written by: another list does not know again what is there.

    Returns:
        None for a stage without state.
    """
    match options:
        case Deduplication():
            return [options.key.text]
        case Joining():
            return [options.left.text, "=", options.right.text]
        case Aggregation():
            by = [f"{name}: {one.text}" for name, one in options.by]
            on = [] if options.on is None else [options.on.text]
            windows = [] if options.windows is None else [options.windows.text]
            return [*by, *on, *windows, *(f"{name}: {one.text}" for name, one in options.compute)]
    return None
