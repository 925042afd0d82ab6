"""Sink `http`: records sent to a web service, one a request or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsq_pipe.connectors.http.send_settings import SendSettings as Options

if TYPE_CHECKING:
    from rsq_pipe.connectors.http.sending import HttpSender


def sender(options: Options, *, stage: str, timeout: float) -> HttpSender:
    """Make the verb of a stage."""
    from rsq_pipe.connectors.http.sending import HttpSender  # noqa: PLC0415  an extra

    return HttpSender(options, stage=stage, timeout=timeout)


__all__ = ["Options", "sender"]
