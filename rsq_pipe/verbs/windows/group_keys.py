"""Group keys: the values that define the groups of a batch, and their encoding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from rsq_pipe.model.folds import canonical
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.verbs.windows.arguments import Argument, Failed

MAX_BYTES = 1_024
"""Maximum bytes of a group's values, as JSON."""

_SCALARS = frozenset((str, int, float, bool, type(None)))


class _Truth:
    """A truth value as a dict key, which must not equal a number."""

    def __init__(self, value: bool) -> None:
        self.value = value


_TRUTHS = {value: _Truth(value) for value in (True, False)}
_encoder = msgspec.json.Encoder(enc_hook=lambda key: key.value)


class GroupKeys:
    """
    Find the groups of records.

    Args:
        by: Field of a result -> the expression of the group's value.
        stage: For messages.
    """

    def __init__(self, by: Sequence[tuple[str, Expression]], stage: str) -> None:
        self._by = [Argument(expression, stage, f"by.{name}", _wrong, _quick) for name, expression in by]

    def of(self, records: Sequence[Any], failed: Failed) -> Iterator[Any] | list[Any]:
        """Return a hashable key of the group for each record; `written` encodes it."""
        columns = [_hashable(by.column(records, failed)) for by in self._by]
        if len(columns) == 1:
            return columns[0]
        return zip(*columns, strict=True) if columns else iter([()] * len(records))

    def written(self, key: Any) -> bytes:
        """Encode a group's values as JSON, in canonical form."""
        return _encoder.encode([key] if len(self._by) == 1 else key)


def _quick(values: Sequence[Any]) -> bool:
    kinds = {*map(type, values)}
    if not kinds <= _SCALARS or float in kinds:
        return False
    return str not in kinds or max(len(value) for value in values if value.__class__ is str) < MAX_BYTES // 12


def _wrong(value: Any) -> str:
    if type(value) not in _SCALARS:
        return "a group key must be text, a number, a truth value or null, not a list or mapping"
    if type(value) is float and not math.isfinite(value):
        return "a group key must be a finite number"
    if len(_encoder.encode(value)) > MAX_BYTES:
        return f"what makes a group is longer than {MAX_BYTES:,} bytes"
    return ""


def _hashable(values: list[Any]) -> list[Any]:
    """Make 1 and 1.0 one group and true another, as `written` does."""
    kinds = {*map(type, values)}
    if float in kinds:
        values = [canonical(value) for value in values]
    if bool in kinds and kinds & {int, float}:
        values = [_TRUTHS[value] if type(value) is bool else value for value in values]
    return values
