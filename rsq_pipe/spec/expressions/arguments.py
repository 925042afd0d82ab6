"""Arguments: checks the arguments of calls in expressions that the file shows."""

from __future__ import annotations

import ast
import datetime as dt
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature, signature
from typing import Any

from rsq_pipe.spec.expressions.dates import check_duration, check_format, check_parse_format
from rsq_pipe.spec.expressions.digests import check_algorithm
from rsq_pipe.spec.expressions.functions import FUNCTIONS
from rsq_pipe.spec.expressions.patterns import RUNNERS, check_pattern
from rsq_pipe.zones import check_zone


def _optional_zone(name: str | None) -> None:
    if name is not None:
        check_zone(name)


_CHECKS: Mapping[str, Mapping[str, Callable[[Any], object]]] = {
    "parse_date": {"format": check_parse_format, "zone": _optional_zone},
    "datetime": {"zone": _optional_zone},
    "in_zone": {"zone": check_zone},
    "format_date": {"format": check_format},
    "add": {"duration": lambda value: check_duration(value) if isinstance(value, str) else None},
    "duration": {"text": check_duration},
    "hash": {"algorithm": check_algorithm},
    **{name: {"pattern": check_pattern} for name in RUNNERS},
}
"""Function -> parameter -> a check that raises ValueError or TypeError for an invalid constant."""

_FROM_NUMBERS: Mapping[str, Callable[..., dt.date]] = {"date": dt.date, "datetime": dt.datetime}


def wrong_arguments(name: str, node: ast.Call) -> tuple[str, ast.expr] | None:
    """
    Find an error in a call that is certain without any record.

    Args:
        name: The function.
        node: The call.

    Returns:
        What is wrong, and where; None if no error is visible.
    """
    declared = _signature(name)
    if declared is None or any(isinstance(argument, ast.Starred) for argument in node.args):
        return None
    named = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    try:
        bound = declared.bind(*node.args, **named).arguments
    except TypeError:
        right = _as_text(name, node) or spelled(name)
        return f"the arguments of {name}() are not those it takes; write {right}", node
    for parameter, check in _CHECKS.get(name, {}).items():
        value = bound.get(parameter)
        if parameter == "pattern" and not isinstance(value, ast.Constant):
            return f"the pattern of {name}() is not written out; write it in quotes", value or node
        if isinstance(value, ast.Constant):
            try:
                check(value.value)
            except (ValueError, TypeError) as exc:
                return str(exc), value
    return None


def spelled(name: str) -> str:
    """Format a function with its parameters: `round(number[, digits])`."""
    declared = _signature(name)
    if declared is None:
        return f"{name}(...)"
    given, left = "", 0
    for parameter in declared.parameters.values():
        shown, comma = parameter.name.strip("_"), ", " if given else ""
        if parameter.kind is Parameter.VAR_POSITIONAL:
            given += f"{comma}{shown[:-1]}, ..." if shown.endswith("s") else f"[{comma}{shown}]"
        elif parameter.kind is Parameter.VAR_KEYWORD:
            continue
        elif parameter.default is Parameter.empty:
            given += comma + shown
        else:
            given += f"[{comma}{shown}"
            left += 1
    return f"{name}({given}{']' * left})"


def _as_text(name: str, node: ast.Call) -> str:
    """Format a date or time given as numbers, as in Python, as the text used in expressions."""
    make = _FROM_NUMBERS.get(name)
    if make is None:
        return ""
    values = [*node.args, *(keyword.value for keyword in node.keywords)]
    numbers = [one.value for one in values if isinstance(one, ast.Constant) and type(one.value) is int]
    if len(numbers) < len(values):
        return f"{name}(text), of a text such as '{make(2024, 1, 31).isoformat()}'"
    given = numbers[: len(node.args)]
    named = dict(zip((str(one.arg) for one in node.keywords), numbers[len(given) :], strict=True))
    try:
        return f"{name}('{make(*given, **named).isoformat()}')"
    except (ValueError, TypeError, OverflowError):
        return ""


def _signature(name: str) -> Signature | None:
    try:
        return signature(FUNCTIONS[name])
    except ValueError:  # some builtins have no signature
        return _SIGNATURES.get(name)


def _bool(value: object = False, /) -> None: ...


def _extreme(value: object, *values: object, default: object = None) -> None: ...


_SIGNATURES: Mapping[str, Signature] = {
    "bool": signature(_bool),
    "min": signature(_extreme),
    "max": signature(_extreme),
}
