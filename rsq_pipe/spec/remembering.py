"""Remembering: the settings that a stage's stored state depends on."""

from __future__ import annotations

from typing import Any

from rsq_pipe.spec.stages.aggregate import Aggregation
from rsq_pipe.spec.stages.dedupe import Deduplication
from rsq_pipe.spec.stages.join import Joining

REMEMBERS = "remembers"
"""The digest of these settings, among those of a stage; other changes leave the state valid."""


def remembers(options: Any) -> list[str] | None:
    """
    List what a stage's state depends on: with a different list, the stored state is not recognised.

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
