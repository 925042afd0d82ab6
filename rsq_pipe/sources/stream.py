"""Source `stream`: an existing Redis stream, read in place through the stage's consumer group."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Settings of the `stream` source; the runner reads the stream itself, so there is nothing to connect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stream: str = Field(min_length=1, description="The stream's whole key.")
