"""Picking: finds, removes and sets values by the path of their field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from rsq_pipe.errors import MissingFieldError
from rsq_pipe.spec.expressions.field_path import FieldPath, spell_path
from rsq_pipe.suggestion import near

Record: TypeAlias = dict[str, Any]
Pairs: TypeAlias = Sequence[tuple[FieldPath, FieldPath]]
"""Where a field is -> where it goes."""

_MAX_NAMES = 4_000
"""Maximum characters of a record's names to search for a similar name."""


def missing(path: FieldPath, record: Record | None = None) -> MissingFieldError:
    """Make the error for a missing field; with the record given, it suggests a similar field."""
    name = spell_path(path)
    hint = "" if record is None else _hint(path, record)
    return MissingFieldError(f"field {name!r} is not in the record{hint}", field=name)


def _hint(path: FieldPath, record: Record) -> str:
    at: Any = record
    for depth, name in enumerate(path):
        if type(at) is not dict or sum(map(len, at)) > _MAX_NAMES:
            return ""
        if name not in at:
            meant = _meant(name, tuple(at))
            return f"; did you mean {spell_path((*path[:depth], meant))!r}?" if meant else ""
        at = at[name]
    return ""


@lru_cache(maxsize=256)
def _meant(name: str, fields: tuple[str, ...]) -> str | None:
    """Find a similar name; cached, since records that fail alike have the same fields."""
    return near(name, fields)


def found(record: Record, path: FieldPath, *, hint: bool = True) -> Any:
    """
    Return a field's value: null if one around it is null, as a lookup may leave it.

    Raises:
        MissingFieldError: It is missing; with `hint`, the error suggests a similar name.
    """
    at: Any = record
    for name in path:
        if at is None:
            return None
        if type(at) is not dict or name not in at:
            raise missing(path, record if hint else None)
        at = at[name]
    return at


def holder(record: Record, path: FieldPath) -> Record | None:
    """
    Return the mapping that contains a field, ready to be modified: it and those around it are copied.

    Args:
        record: Already a copy.
        path: The field.

    Returns:
        The mapping; None if it, or one around it, is null.

    Raises:
        MissingFieldError: There is no such mapping.
    """
    at = record
    for name in path[:-1]:
        if name in at and at[name] is None:
            return None
        inner = at.get(name)
        if type(inner) is not dict:
            raise missing(path)
        at[name] = at = inner.copy()
    return at


def taken(record: Record, path: FieldPath, *, hint: bool = True) -> Any:
    """Remove a field from a record, which is a copy, and return its value; it raises like `found`."""
    value = found(record, path, hint=hint)
    if (at := holder(record, path)) is not None:
        del at[path[-1]]
    return value


def put(record: Record, path: FieldPath, value: Any) -> None:
    """
    Put a field into a record, which is a copy, at the end of its mapping.

    Raises:
        ValueError: There is already one of this name, or it would be inside something that is not a mapping.
    """
    at = record
    for depth, name in enumerate(path[:-1], 1):
        inner = at.get(name, {})
        if type(inner) is not dict:
            raise ValueError(f"field {spell_path(path[:depth])!r} is not a mapping, so it can hold no field")
        at[name] = at = inner.copy()
    if path[-1] in at:
        raise there_already(path)
    at[path[-1]] = value


def there_already(path: FieldPath) -> ValueError:
    """Make the error for a new name that is taken."""
    return ValueError(f"field {spell_path(path)!r} is in the record already; drop it, or rename it, too")


def pick(record: Record, pairs: Pairs, *, ignore: bool = False) -> Record:
    """
    Make a record from some fields of another, which stays unchanged.

    Raises:
        MissingFieldError: A field is missing and `ignore` is not set.
    """
    picked: Record = {}
    for source, target in pairs:
        try:
            value = found(record, source, hint=not ignore)
        except MissingFieldError:
            if not ignore:
                raise
        else:
            put(picked, target, value)
    return picked


def picker(pairs: Pairs) -> Callable[[Record], Record]:
    """
    Make a function that picks fields much faster than `pick`.

    If a field is missing, it raises Python's own error: `pick` then says which.
    """
    function: Callable[[Record], Record] = eval(f"lambda record: {_spelled(pairs)}")  # noqa: S307  literals
    return function


def picker_of_all(pairs: Pairs) -> Callable[[Sequence[Record]], list[Record]]:
    """Make a function that picks fields from each of several records, as `picker` does from one."""
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
