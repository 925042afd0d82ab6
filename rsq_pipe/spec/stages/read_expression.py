"""read_expression: reads an expression from the file, as text or as a number."""

from __future__ import annotations

import math
import re

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.expression import Expression, compile_expression
from rsq_pipe.spec.validation import describe

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def read_expression(
    document: Document, value: object, path: Path_, *, headed: bool = False
) -> Expression | None:
    """Compile the expression at a path; report it and return None if it is not one."""
    if value is None or isinstance(value, dict | list):
        document.report(path, f"must be an expression, not {describe(value)}", "write it as text, in quotes")
        return None
    if isinstance(value, float) and not math.isfinite(value):  # as text it would be a field: `inf`
        what = "a record holds no infinity, and nothing that is not a number"
        document.report(path, what, "write a number that is smaller than 1e308, or null")
        return None
    if isinstance(value, str) and _DATE.fullmatch(value.strip()):
        day = value.strip()
        what = f"{day} is a subtraction of three numbers"
        document.report(path, what, f"write date('{day}'), or \"'{day}'\" for text")
        return None
    try:
        return compile_expression(value if isinstance(value, str) else repr(value), headed)
    except ExpressionError as exc:
        document.report_error(path, exc)
        return None
