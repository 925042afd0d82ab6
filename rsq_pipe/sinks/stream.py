"""Sink `stream`: a Redis stream for others to read, written in the settlement of the records themselves."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Settings of the `stream` sink; the runner writes the stream itself, so there is nothing to connect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stream: str = Field(min_length=1, description="The stream's whole key.")
