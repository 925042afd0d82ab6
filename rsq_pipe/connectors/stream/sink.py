"""Sink `stream`: a Redis stream, written as records are settled."""

from __future__ import annotations

from pydantic import Field

from rsq_pipe.connectors.settings import Settings


class Options(Settings):
    """Settings of the `stream` sink; the runner writes it itself, so there is nothing to connect to."""

    stream: str = Field(min_length=1, description="The stream's whole key.")
