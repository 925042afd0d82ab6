"""Picking: values found, taken out and put down by the path of their field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from rsq_pipe.errors import MissingFieldError
from rsq_pipe.spec.expressions.field_path import FieldPath, spell_path

Record: TypeAlias = dict[str, Any]
Pairs: TypeAlias = Sequence[tuple[FieldPath, FieldPath]]
"""Where a field stands -> where it is to stand."""


def missing(path: FieldPath) -> MissingFieldError:
    """Say that a field is not there."""
    name = spell_path(path)
    return MissingFieldError(f"field {name!r} is not in the record", field=name)


def found(record: Record, path: FieldPath) -> Any:
    """Return a field's value; MissingFieldError where it is not there."""
    at: Any = record
    for name in path:
        if type(at) is not dict or name not in at:
            raise missing(path)
        at = at[name]
    return at


def holder(record: Record, path: FieldPath) -> Record:
    """
    Return the mapping that a field stands in, to be changed: it and those around it are copied.

    Args:
        record: A copy already.
        path: The field.

    Raises:
        MissingFieldError: It has no such mapping.
    """
    at = record
    for name in path[:-1]:
        inner = at.get(name)
        if type(inner) is not dict:
            raise missing(path)
        at[name] = at = inner.copy()
    return at


def taken(record: Record, path: FieldPath) -> Any:
    """Take a field out of a record, which is a copy; MissingFieldError where it is not there."""
    found(record, path)
    return holder(record, path).pop(path[-1])


def put(record: Record, path: FieldPath, value: Any) -> None:
    """
    Put a field into a record, which is a copy, at the end of its mapping.

    Raises:
        ValueError: There is one of this name already, or it would stand in what is no mapping.
    """
    at = record
    for depth, name in enumerate(path[:-1], 1):
        inner = at.get(name, {})
        if type(inner) is not dict:
            raise ValueError(f"field {spell_path(path[:depth])!r} is no mapping, so it can hold no field")
        at[name] = at = inner.copy()
    if path[-1] in at:
        raise there_already(path)
    at[path[-1]] = value


def there_already(path: FieldPath) -> ValueError:
    """Say that a new name is taken."""
    return ValueError(f"field {spell_path(path)!r} is in the record already; drop it, or rename it, too")


def pick(record: Record, pairs: Pairs, *, ignore: bool = False) -> Record:
    """
    Make a record of some fields of another, which stays as it is.

    Raises:
        MissingFieldError: One is not there, and that is not to be ignored.
    """
    picked: Record = {}
    for source, target in pairs:
        try:
            value = found(record, source)
        except MissingFieldError:
            if not ignore:
                raise
        else:
            put(picked, target, value)
    return picked


def picker(pairs: Pairs) -> Callable[[Record], Record]:
    """
    Make a function that picks fields much faster than `pick`.

    It raises whatever Python does where one is missing: `pick` then says which.
    """
    function: Callable[[Record], Record] = eval(f"lambda record: {_spelled(pairs)}")  # noqa: S307  literals
    return function


def picker_of_all(pairs: Pairs) -> Callable[[Sequence[Record]], list[Record]]:
    """Make a function that picks fields of each of some records, as `picker` of one."""
    spelled = f"lambda records: [{_spelled(pairs)} for record in records]"
    function: Callable[[Sequence[Record]], list[Record]] = eval(spelled)  # noqa: S307  names are literals
    return function


def _spelled(pairs: Pairs) -> str:
    tree: dict[str, Any] = {}
    for source, target in pairs:
        at = tree
        for name in target[:-1]:
            at = at.setdefault(name, {})
        at[target[-1]] = "record" + "".join(f"[{name!r}]" for name in source)
    return _dict(tree)


def _dict(tree: dict[str, Any]) -> str:
    items = [f"{name!r}: {_dict(at) if isinstance(at, dict) else at}" for name, at in tree.items()]
    return f"{{{', '.join(items)}}}"
