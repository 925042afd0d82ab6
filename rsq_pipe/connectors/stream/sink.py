"""Sink `stream`: a Redis stream, written as records are settled."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Settings of the `stream` sink; the runner writes it itself, so there is nothing to connect to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stream: str = Field(min_length=1, description="The stream's whole key.")
