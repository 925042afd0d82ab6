"""Verbs: what a handler receives and returns, and the work of each kind of stage."""

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
