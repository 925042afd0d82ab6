"""Stages: what a handler sees and returns, and the verbs."""

from rsq_pipe.handlers.batch_handler import batch_handler
from rsq_pipe.model.outcome import Drop, Emit, Reject, Retry
from rsq_pipe.verbs.context import BatchContext, Context, StageContext

__all__ = [
    "BatchContext",
    "Context",
    "Drop",
    "Emit",
    "Reject",
    "Retry",
    "StageContext",
    "batch_handler",
]
