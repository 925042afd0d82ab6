"""Source `http`: the records of a web service, a page at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.http.read_settings import ReadSettings as Options

if TYPE_CHECKING:
    from rsq_pipe.connectors.http.reading import HttpSource


def connect(options: Options, *, stage: str, root: Path) -> HttpSource:  # noqa: ARG001  every connector's signature
    """Make the source of a stage; nothing is asked yet."""
    from rsq_pipe.connectors.http.reading import HttpSource  # noqa: PLC0415  an extra

    return HttpSource(options, stage=stage)


__all__ = ["Options", "connect"]
