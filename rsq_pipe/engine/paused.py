"""Paused: that a stage is paused, as it stands in the pipeline's hash for everybody to read."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from rsq_pipe.spec.graph import Graph

LASTS = 30.0
"""Seconds after which nobody believes it any more: whoever paused the stage has died."""

RENEWED = LASTS / 6
"""Seconds between two times that it is written."""


class Paused(msgspec.Struct, frozen=True):
    """
    Say that a stage is paused; or, in a field of its own, that it works with an old table.

    Args:
        why: The error of the last record that was tried, or of what a source reads from or a sink writes to;
            or what is wrong with the new table.
        since: Since when, in seconds since 1970.
        at: When this was written.
        by: The process that wrote it.
    """

    why: str
    since: float
    at: float
    by: str = ""

    def holds(self, now: float | None = None) -> bool:
        """Whether it is still to be believed."""
        return abs((time.time() if now is None else now) - self.at) <= LASTS

    @staticmethod
    def load(text: str | None) -> Paused | None:
        """Read what was written; None for nothing, and for what another release wrote."""
        try:
            return None if text is None else _decoder.decode(text)
        except msgspec.DecodeError:
            return None

    def dump(self) -> bytes:
        """Write it as it is kept."""
        return msgspec.json.encode(self)


_decoder: msgspec.json.Decoder[Paused] = msgspec.json.Decoder(Paused)


def pause_field(stage: str) -> str:
    """Name the field of the pipeline's hash that says so of a stage."""
    return f"paused:{stage}:why"


def pause_fields(graph: Graph) -> list[str]:
    """Name those of all stages."""
    return [pause_field(stage.name) for stage in graph.stages]


def paused_stages(graph: Graph, table: Mapping[str, str], now: float | None = None) -> dict[str, Paused]:
    """Read which stages are paused out of the fields of the pipeline's hash."""
    found: dict[str, Paused] = {}
    for stage in graph.stages:
        paused = Paused.load(table.get(pause_field(stage.name)))
        if paused is not None and paused.holds(now):
            found[stage.name] = paused
    return found
