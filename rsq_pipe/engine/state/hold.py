"""Hold: the note in the pipeline's hash that a stage is paused until an operator resumes it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rsq_pipe.spec.graph import Graph


class Hold(msgspec.Struct, frozen=True):
    """
    State that a stage is paused, in all processes, until it is resumed by hand.

    Args:
        why: Why it was paused.
        since: When, in seconds since 1970.
        by: The process that paused it.
    """

    why: str
    since: float
    by: str = ""

    def dump(self) -> bytes:
        """Encode the hold as a value of the hash."""
        return msgspec.json.encode(self)


_decoder: msgspec.json.Decoder[Hold] = msgspec.json.Decoder(Hold)


def hold_field(stage: str) -> str:
    """Name the field of the pipeline's hash that holds a stage's hold."""
    return f"paused:{stage}:hold"


def resumed_field(stage: str) -> str:
    """Name the field that counts how often a stage has been resumed."""
    return f"paused:{stage}:resumed"


def hold_fields(graph: Graph) -> list[str]:
    """Name the hold fields of all stages."""
    return [hold_field(stage.name) for stage in graph.stages]


def resumed_fields(graph: Graph) -> list[str]:
    """Name the resume counts of all stages."""
    return [resumed_field(stage.name) for stage in graph.stages]


def read_hold(text: str | bytes) -> Hold:
    """Read a hold; one written by another release counts as well."""
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        return Hold("it was paused by another release", 0.0)


def held_stages(graph: Graph, table: Mapping[str, str]) -> dict[str, Hold]:
    """Read from the fields of the pipeline's hash which stages are held."""
    found = ((stage.name, table.get(hold_field(stage.name))) for stage in graph.stages)
    return {name: read_hold(text) for name, text in found if text is not None}


def times_resumed(graph: Graph, table: Mapping[str, str]) -> dict[str, int]:
    """Read how often each stage has been resumed; stages that never were are left out."""
    found = ((stage.name, table.get(resumed_field(stage.name))) for stage in graph.stages)
    return {name: int(text) for name, text in found if text is not None}
