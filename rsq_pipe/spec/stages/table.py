"""Table: the model of each verb's stage; larger verbs have their own file next to this one."""

from __future__ import annotations

from rsq_pipe.spec.models import (
    CallStage,
    FilterStage,
    MapStage,
    RouteStage,
    SinkStage,
    SourceStage,
    StageSettings,
)
from rsq_pipe.spec.stages.aggregate_stage import AggregateStage
from rsq_pipe.spec.stages.dedupe import DedupeStage
from rsq_pipe.spec.stages.explode import ExplodeStage
from rsq_pipe.spec.stages.join import JoinStage
from rsq_pipe.spec.stages.lookup_stage import LookupStage
from rsq_pipe.spec.stages.sample import SampleStage
from rsq_pipe.spec.stages.select import SelectStage
from rsq_pipe.spec.stages.sql import SqlStage
from rsq_pipe.spec.stages.validate_stage import ValidateStage

STAGES: dict[str, type[StageSettings]] = {
    "source": SourceStage,
    "call": CallStage,
    "map": MapStage,
    "filter": FilterStage,
    "route": RouteStage,
    "select": SelectStage,
    "explode": ExplodeStage,
    "sample": SampleStage,
    "validate": ValidateStage,
    "lookup": LookupStage,
    "dedupe": DedupeStage,
    "join": JoinStage,
    "aggregate": AggregateStage,
    "sql": SqlStage,
    "sink": SinkStage,
}
"""Verb -> its model, in the order of the reference page and of messages."""
