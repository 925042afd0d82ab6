"""Arguments: the values of expressions for the records of a batch, in columns, checked for their use."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, TypeAlias

import msgspec

from rsq_pipe.errors import EvaluationError
from rsq_pipe.model.aggregates import NUMBERS, ORDERED
from rsq_pipe.model.exact_sum import LARGEST
from rsq_pipe.model.extreme import plain
from rsq_pipe.model.finite import may_hold_null, not_finite
from rsq_pipe.model.outcome import Failure, Reject, Retry
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.verbs.failed import expression_failure

Failed: TypeAlias = dict[int, Failure | Retry | Reject]
Check: TypeAlias = Callable[[Any], str]
"""Returns what is wrong with a value; empty if it is valid."""

_NUMBERS = frozenset((int, float, bool, type(None)))
_TEXTS = frozenset((str, type(None)))
_encoder = msgspec.json.Encoder(order="deterministic")  # as in partials: it refuses keys that are not text


class Argument:
    """
    Evaluate one expression for all records of a batch.

    Args:
        expression: The expression.
        stage, place: For messages: `compute.delay`.
        check: Returns what is wrong with a value.
        quick: Returns whether a whole column is known to be valid; False if unknown.
    """

    def __init__(
        self,
        expression: Expression,
        stage: str,
        place: str,
        check: Check,
        quick: Callable[[Sequence[Any]], bool],
    ) -> None:
        text = expression.text.strip()
        self._field = text if text in expression.names else ""
        self._evaluate = expression.evaluate
        self._stage, self._place = stage, place
        self._check, self._quick = check, quick

    def column(self, records: Sequence[Any], failed: Failed) -> list[Any]:
        """List the values; None for a record without one, which has failed."""
        field, evaluate = self._field, self._evaluate
        try:
            values = [record[field] for record in records] if field else [evaluate(r) for r in records]
            if self._quick(values):
                return values
        except Exception:  # noqa: BLE001  the record at fault is found one by one
            values = []
        return [self._value(place, record, failed) for place, record in enumerate(records)]

    def _value(self, place: int, record: Any, failed: Failed) -> Any:
        try:
            value = plain(self._evaluate(record))
            wrong = self._check(value)
        except Exception as exc:  # noqa: BLE001 - an expression can raise whatever Python can
            return self._fail(place, exc, failed)
        return self._fail(place, EvaluationError(wrong), failed) if wrong else value

    def _fail(self, place: int, error: Exception, failed: Failed) -> None:
        failed.setdefault(place, expression_failure(error, self._stage, f"aggregate.{self._place}"))


def argument(expression: Expression, stage: str, place: str, folds: Sequence[str], wanted: str) -> Argument:
    """
    Make the argument of a function.

    Args:
        expression, stage, place: As for an Argument.
        folds: The folds of the values.
        wanted: The function as written, for messages.
    """
    if not NUMBERS.isdisjoint(folds):
        largest = math.sqrt(LARGEST) if "squares" in folds else LARGEST
        return Argument(
            expression,
            stage,
            place,
            lambda value: _no_number(value, wanted, largest) + _converted(value, expression),
            lambda values: _are_numbers(values, largest),
        )
    if not ORDERED.isdisjoint(folds):
        return Argument(expression, stage, place, lambda value: _no_order(value, wanted), _have_order)
    return Argument(expression, stage, place, _no_json, _are_json)


def _are_numbers(values: Sequence[Any], largest: float) -> bool:
    if not {*map(type, values)} <= _NUMBERS:
        return False
    numbers = [value for value in values if value is not None]
    # The sum is NaN if any value is.
    return not numbers or (
        math.isfinite(sum(numbers)) and max(numbers) <= largest and min(numbers) >= -largest
    )


def _no_number(value: Any, wanted: str, largest: float) -> str:
    if type(value) not in _NUMBERS:
        return f"{wanted} takes numbers, not {_named(value)}"
    if value is not None and not -largest <= value <= largest:
        return f"{wanted} takes numbers up to {largest:g}, not {str(value)[:40]}"
    return ""


def _converted(value: Any, expression: Expression) -> str:
    """Return how to make a number of text that is one; empty for everything else."""
    if type(value) is not str:
        return ""
    try:
        whole = math.isfinite(float(value)) and value.strip().lstrip("+-").isdigit()
    except ValueError:
        return ""
    return f"; write {'int' if whole else 'float'}({expression.text.strip()})"


def _have_order(values: Sequence[Any]) -> bool:
    return {*map(type, values)} <= _TEXTS if str in {*map(type, values)} else _are_numbers(values, LARGEST)


def _no_order(value: Any, wanted: str) -> str:
    return (
        ""
        if type(value) is str
        else _no_number(value, wanted, LARGEST).replace("numbers", "numbers and text")
    )


def _are_json(values: Sequence[Any]) -> bool:
    raw = _encoder.encode(values)
    # NaN is written as null: if all nulls are plain ones, there is none.
    is_finite = not may_hold_null(raw) or raw.count(b"null") == [*values].count(None)
    return is_finite and not any(isinstance(value, date) for value in values)


def _no_json(value: Any) -> str:
    try:
        raw = _encoder.encode(value)
    except TypeError:  # out of msgpack
        return "it holds a key that is not text"
    path = not_finite(value) if may_hold_null(raw) else ""
    return f"{'it' if path == '$' else path.removeprefix('$.')} is not a finite number" if path else ""


def _named(value: Any) -> str:
    match value:
        case str():
            return f"the text {value[:40]!r}"
        case dict():
            return "a mapping"
        case list() | tuple() | set():
            return "a list"
    return type(value).__name__
