"""Legible: reports unreadable data of a pipeline as an error of that pipeline alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rsq_pipe.errors import StreamError


@contextmanager
def legible(pipeline: str, address: str) -> Iterator[None]:
    """
    Raise an error of the pipeline if a value is not the number or text that every release writes there.

    Raises:
        StreamError: Something else has written to the pipeline's keys.
    """
    try:
        yield
    except (ValueError, OverflowError, RecursionError) as exc:
        why = " ".join(str(exc).split())[:200]
        raise StreamError(
            f"what server {address} holds of pipeline {pipeline!r} cannot be read: {why}; something else has "
            f"written to its keys: see HGETALL {{{pipeline}}}:meta"
        ) from exc
