"""Paused: the note in the pipeline's hash, readable by all processes, that a stage is paused."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rsq_pipe.spec.graph import Graph

LASTS = 30.0
"""Seconds after which it no longer counts: the process that paused the stage has died."""

RENEWED = LASTS / 6
"""Seconds between two writes of it."""


class Paused(msgspec.Struct, frozen=True):
    """
    State that a stage is paused; or, in a field of its own, that it works with an old table.

    Args:
        why: The error of the last record tried, of a source's system or a sink's target, or of the new
            table.
        since: When the pause began, in seconds since 1970, by the server's clock.
        at: When this was written, by the server's clock.
        by: The process that wrote it.
    """

    why: str
    since: float
    at: float
    by: str = ""

    def holds(self, now: float) -> bool:
        """Return whether the pause was confirmed recently enough to be valid, by the server's clock."""
        return abs(now - self.at) <= LASTS

    @staticmethod
    def load(text: str | None) -> Paused | None:
        """Read what was written; None if nothing was, or another release wrote it."""
        try:
            return None if text is None else _decoder.decode(text)
        except msgspec.DecodeError:
            return None

    def dump(self) -> bytes:
        """Encode the pause as a value of the hash."""
        return msgspec.json.encode(self)


_decoder: msgspec.json.Decoder[Paused] = msgspec.json.Decoder(Paused)


def pause_field(stage: str) -> str:
    """Name the field of the pipeline's hash that says why a stage is paused."""
    return f"paused:{stage}:why"


def pause_fields(graph: Graph) -> list[str]:
    """Name the fields of all stages."""
    return [pause_field(stage.name) for stage in graph.stages]


def paused_stages(graph: Graph, table: Mapping[str, str], now: float) -> dict[str, Paused]:
    """Read from the fields of the pipeline's hash which stages are paused at a time of the server's clock."""
    found: dict[str, Paused] = {}
    for stage in graph.stages:
        paused = Paused.load(table.get(pause_field(stage.name)))
        if paused is not None and paused.holds(now):
            found[stage.name] = paused
    return found
