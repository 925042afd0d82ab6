"""Inputs: the records that wait for a stage, and the batch made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rsq_pipe.ids import branch
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.spec.branches import branches
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.testing.preview.passage import Made

Input = tuple[str, Made]
"""The key of a stream, and a record that comes by it."""


def inputs_of(graph: Graph, stage: Stage, streams: Mapping[StreamRef, Sequence[Made]]) -> list[Input]:
    """Collect the records that wait for a stage; where branches meet again, each adds its name to the ids."""
    names = branches(graph, stage)
    inputs: list[Input] = []
    for ref in stage.inputs:
        name = names.get(ref)
        for one in streams.get(ref, ()):
            rid = branch(one.rid, name) if name else one.rid
            inputs.append((ref.key(graph.pipeline), Made(one.port, rid, one.record, one.headers)))
    return inputs


def batch_of(inputs: Sequence[Input], form: Serializer, moment: int = 0) -> Batch:
    """
    Make a batch, with each record as it comes out of a stream.

    Args:
        inputs: The records.
        form: Encodes and decodes them.
        moment: When they were written to their streams, in milliseconds.
    """
    raws = [form.encode(one.record) for _, one in inputs]
    return Batch(
        [form.decode(raw) for raw in raws],
        [one.rid for _, one in inputs],
        range(len(raws)),
        [Delivery(stream, f"{moment}-{number}", 1) for number, (stream, _) in enumerate(inputs, 1)],
        {place: one.headers for place, (_, one) in enumerate(inputs) if one.headers},
        original=raws.__getitem__,
    )
