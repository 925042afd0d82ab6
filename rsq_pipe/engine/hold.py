"""Hold: that a stage is paused until somebody resumes it, as it stands in the pipeline's hash."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rsq_pipe.spec.graph import Graph


class Hold(msgspec.Struct, frozen=True):
    """
    Say that a stage is paused until it is resumed by hand, whoever runs it.

    Args:
        why: What it was paused for.
        since: When, seconds since 1970.
        by: The process that did it.
    """

    why: str
    since: float
    by: str = ""

    def dump(self) -> bytes:
        """Write it as it is kept."""
        return msgspec.json.encode(self)


_decoder: msgspec.json.Decoder[Hold] = msgspec.json.Decoder(Hold)


def hold_field(stage: str) -> str:
    """Name the field of the pipeline's hash that says so of a stage."""
    return f"paused:{stage}:hold"


def resumed_field(stage: str) -> str:
    """Name the field that counts how often a stage has been resumed."""
    return f"paused:{stage}:resumed"


def hold_fields(graph: Graph) -> list[str]:
    """Name those of all stages that say so."""
    return [hold_field(stage.name) for stage in graph.stages]


def resumed_fields(graph: Graph) -> list[str]:
    """Name those of all stages that count."""
    return [resumed_field(stage.name) for stage in graph.stages]


def read_hold(text: str | bytes) -> Hold:
    """Read one; what is written by another release holds as well."""
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        return Hold("it was paused by another release", 0.0)


def held_stages(graph: Graph, table: Mapping[str, str]) -> dict[str, Hold]:
    """Read which stages are held out of the fields of the pipeline's hash."""
    found = ((stage.name, table.get(hold_field(stage.name))) for stage in graph.stages)
    return {name: read_hold(text) for name, text in found if text is not None}


def times_resumed(graph: Graph, table: Mapping[str, str]) -> dict[str, int]:
    """Read how often each stage has been resumed, likewise; those that never were are left out."""
    found = ((stage.name, table.get(resumed_field(stage.name))) for stage in graph.stages)
    return {name: int(text) for name, text in found if text is not None}
