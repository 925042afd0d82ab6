"""Sink `http`: records sent to a web service, one or many per request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.http.options import SendSettings as Options
from rsq_pipe.connectors.http.settings import shown

if TYPE_CHECKING:
    from rsq_pipe.connectors.http.sending import HttpSender


def sender(options: Options, *, stage: str, timeout: float) -> HttpSender:
    """Make the verb of a stage."""
    from rsq_pipe.connectors.http.sending import HttpSender  # noqa: PLC0415  an extra

    return HttpSender(options, stage=stage, timeout=timeout)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the service as an endpoint; only a HEAD request is sent."""

    def reach(seconds: float) -> str:
        from rsq_pipe.connectors.http.reach import reach_service  # noqa: PLC0415  an extra

        return reach_service(options, stage, seconds)

    return Endpoint(f"{options.method} {shown(options.url)}", reach)


__all__ = ["Options", "endpoint", "sender"]
