"""Whole numbers: values that a column of whole numbers would round without a word."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.errors import EncodeError

_FRACTION = re.compile(r"\s*[-+]?\d*\.\d*[1-9]\d*\s*")


def check_whole(value: Any, column: Column, record: Any) -> None:
    """
    Check a number, or its text, that goes into a column of whole numbers.

    Raises:
        EncodeError: It has a fraction.
    """
    if type(value) is float:
        wrong = isfinite(value) and not value.is_integer()
    else:
        wrong = type(value) is str and _FRACTION.fullmatch(value) is not None
    if wrong:
        raise EncodeError(
            f"{value!r} is not a whole number, and column {column.name!r} holds {column.type}", record
        )
