"""Failures: turns exceptions into outcomes."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.errors import (
    EvaluationError,
    HandlerContractError,
    MissingFieldError,
    RecordInvalidError,
    without_frames,
)
from rsq_pipe.model.outcome import Failure
from rsq_pipe.spec.expressions.explanation import explained

_OURS = f"{Path(__file__).parents[1]}/"
"""The folder of all frames of this library."""


def failure(error: BaseException) -> Failure:
    """
    Turn an exception into the record's outcome.

    The traceback is cut to the frames of user code: our frames do not help the reader of a dead letter, and
    frames keep everything alive that they refer to.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_OURS):
        traceback = traceback.tb_next
    error.__traceback__ = traceback
    return Failure(error, retryable=not isinstance(error, HandlerContractError | RecordInvalidError))


def expression_failure(error: Exception, stage: str, place: str) -> Failure:
    """
    Fail a record permanently because an expression raised: a retry could only fail the same way.

    Args:
        error: The exception.
        stage: The stage's name.
        place: Which expression: `map.total`.
    """
    where = f"stage {stage!r}: {place}: "
    if isinstance(error, MissingFieldError):
        named: EvaluationError = MissingFieldError(f"{where}{error}", stage=stage, field=error.field)
    else:
        named = EvaluationError(f"{where}{explained(error)}", stage=stage)
    # Its frames are those of a compiled expression, and hold the record and its callers.
    named.__cause__ = without_frames(error)
    return Failure(named, retryable=False)
