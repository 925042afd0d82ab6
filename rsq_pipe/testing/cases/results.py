"""Results: runs the tests of a file one after another, and checks each."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from rsq_pipe.errors import EncodeError
from rsq_pipe.testing.cases.case import Case, Happened
from rsq_pipe.testing.cases.comparing import Mismatch, mismatches
from rsq_pipe.testing.cases.running import run_case


class CaseResult(Struct, frozen=True):
    """
    Report the result of a test.

    Args:
        case: The test.
        happened: The results for its records.
        mismatches: Results that are not as expected.
        error: Why it could not be run; empty if it was.
        seconds: Its duration.
    """

    case: Case
    happened: Happened
    mismatches: Sequence[Mismatch]
    error: str
    seconds: float

    @property
    def is_passed(self) -> bool:
        """Whether everything expected happened, and nothing else that counts."""
        return not self.mismatches and not self.error and self.case.test.expect is not None


async def results_of(cases: Sequence[Case]) -> AsyncIterator[CaseResult]:
    """Run tests; a test without expectations does not pass."""
    for case in cases:
        started = time.perf_counter()
        happened, error = Happened(), ""
        try:
            happened = await run_case(case)
        except EncodeError as exc:
            error = str(exc)
        found = [] if error else mismatches(case, happened)
        yield CaseResult(case, happened, found, error, time.perf_counter() - started)
