"""Leaving: what makes records of that which leaves a stage's state."""

from __future__ import annotations

from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.stages.join import Joining
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.verbs.windows.pairing import Shape
from rsq_pipe.verbs.windows.results import Results
from rsq_pipe.verbs.windows.unmatched import Unmatched


def leaving(stage: Stage, form: Serializer) -> Results | Unmatched:
    """
    Make the verb of what leaves: the results of groups, or records that found no other.

    Args:
        stage: A stage of which `closes` is true.
        form: How what waits is written.
    """
    if isinstance(stage.options, Joining):
        return Unmatched(Shape(stage.name, stage.options, stage.outputs), form)
    return Results(stage.name, stage.options)
