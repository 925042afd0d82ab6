"""What the tests of `sql` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rsq_pipe.errors import EvaluationError
from rsq_pipe.model.outcome import Failure

AIRLINES = "carrier,name,since\nAA,American,1934-04-13\nUA,United,1931-03-28\nUA,United too,2000-01-01\n"
Work = Callable[..., Any]


def told(end: Any) -> Any:
    if not isinstance(end, Failure):
        return end
    assert isinstance(end.error, EvaluationError)
    assert not end.retryable
    return str(end.error).removeprefix("stage 'calc': sql: ")
