"""Source `http`: the records of a web service, one page at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.http.options import ReadSettings as Options
from rsq_pipe.connectors.http.settings import shown

if TYPE_CHECKING:
    from rsq_pipe.connectors.http.reading import HttpSource


def connect(options: Options, *, stage: str, root: Path) -> HttpSource:  # noqa: ARG001  every connector's signature
    """Make the source of a stage; nothing is requested yet."""
    from rsq_pipe.connectors.http.reading import HttpSource  # noqa: PLC0415  an extra

    return HttpSource(options, stage=stage)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the service as an endpoint; its first page is requested."""

    def reach(seconds: float) -> str | None:
        from rsq_pipe.connectors.http.reach import reach_page  # noqa: PLC0415  an extra

        return reach_page(options, stage, seconds)

    return Endpoint(f"GET {shown(options.url)}", reach)


__all__ = ["Options", "connect", "endpoint"]
