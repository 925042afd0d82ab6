"""Bounds: limits for the size of values that an expression builds per record, and for its loops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from datetime import date
from itertools import islice
from math import isqrt
from typing import Any, TypeVar

from rsq_pipe.spec.expressions.dates import iso
from rsq_pipe.spec.expressions.record_form import as_record, in_order

MAX_SIZE = 16_000_000
"""Maximum size of one value: a character or byte counts 1, an item of a list or mapping 16 plus its size."""

MAX_ITEMS = MAX_SIZE // 16

MAX_WORK = 64_000_000
"""Maximum sum of the sizes that the loops of an expression read and build for one record."""

MAX_BITS = 4_096
"""Maximum bits of an integer that `*` or `**` returns."""

_ITEM = 16
_CALL = 8 * _ITEM
"""The amount that a call of a slow function counts: some microseconds."""
_WORD = 1 << 63
_NUMBERS = frozenset([float, bool, type(None)])
_BOUNDED = _NUMBERS | {int}

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_DEEP: set[Callable[..., Any]] = set()
"""Functions that read everything inside a value, whatever they return."""


class TooLargeError(ValueError):
    """A value larger than an expression may build, or too much work for one record."""


def size(value: Any) -> int:
    """Measure a value, without the contents of its items."""
    kind = value.__class__
    if kind is str or kind is bytes:
        return len(value)
    if kind is int:
        return int(value).bit_length() // 8
    return _ITEM * len(value) if hasattr(value, "__len__") else 0


def built(value: T, spent: list[int] | None = None) -> T:
    """
    Check and return a value that was just built.

    Args:
        value: A text, list or number.
        spent: In a loop, the sum so far of this evaluation.

    Raises:
        TooLargeError: It is too large, alone or together with what the loop has built.
    """
    measured = size(value)
    if measured > MAX_SIZE:
        raise _too_large()
    if spent is not None:
        spend(spent, measured)
    return value


def spend(spent: list[int], amount: int) -> None:
    """Add to the work of an evaluation."""
    spent[0] += amount
    if spent[0] > MAX_WORK:
        raise TooLargeError(
            f"its loops go through and build more than {MAX_WORK:,} characters (an item counts {_ITEM}) "
            "for one record; use a call stage"
        )


def looped(items: T, spent: list[int]) -> T:
    """Count and return the iterable of a loop; a generator is counted in its own loop."""
    if hasattr(items, "__len__"):
        spend(spent, _ITEM * len(items))
    return items


def searched(items: T, spent: list[int]) -> T:
    """Count and return what `in` searches; a mapping or set is not searched item by item."""
    spend(spent, _ITEM if isinstance(items, dict | set) else size(items))
    return items


def counted(spent: list[int], function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Call a function in a loop, counting its arguments and its result."""
    spend(spent, sum(map(size, arguments)))
    if function in _DEEP:
        spend(spent, sum(map(weigh, arguments)))
    if function in (bounded_set, bounded_dict) and arguments:
        spend(spent, _hashing(arguments[0], pairs=function is bounded_dict))
    return built(function(*arguments, **named), spent)


def deep(function: F) -> F:
    """Mark a function that reads everything inside its arguments: in a loop, all of that counts."""
    _DEEP.add(function)
    return function


def compared(items: Any, spent: list[int] | None = None) -> Any:
    """
    Count and return items to be compared with one another, those of a generator as a list.

    Each counts with everything inside it: many references to two large equal texts would be compared in full
    each time.
    """
    if isinstance(items, Mapping | set | frozenset | str):
        return items
    found = listed(items)
    ledger = [0] if spent is None else spent
    for item in found:
        if item.__class__ not in _BOUNDED:
            spend(ledger, weigh(item))
    return found


def slowly(spent: list[int], function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Call a function in a loop that is slow for any arguments."""
    spend(spent, _CALL)
    return counted(spent, function, *arguments, **named)


def weighed(value: T, spent: list[int] | None = None) -> T:
    """
    Check and return a value, measured with everything inside it.

    Its size as written out counts: a million references to one text are small only until then.

    Args:
        value: The value.
        spent: In a loop, the sum so far: measuring takes time, too.

    Raises:
        TooLargeError: It is too large.
    """
    if value.__class__ not in _BOUNDED:
        weight = weigh(value)
        if spent is not None:
            spend(spent, weight)
    return value


def weigh(value: Any) -> int:
    """
    Measure a value with everything inside it, giving up as soon as it is too large.

    Raises:
        TooLargeError: It is too large.
    """
    total = 0
    left: list[Iterable[Any]] = [(value,)]
    while left:
        for item in left.pop():
            kind = item.__class__
            if kind in _NUMBERS:
                continue
            if kind is int:
                total += item.bit_length() // 3  # its digits
            elif kind is str or kind is bytes:
                total += len(item)
            elif hasattr(item, "__len__"):
                total += _ITEM * len(item)
                left.append(item)
                if isinstance(item, Mapping):
                    left.append(item.values())
            _check(total)
    return total


def plus(left: Any, right: Any, spent: list[int] | None = None) -> Any:
    """Add; refuse a text or list above the limit. Both sides are below it, so they are added first."""
    total = left + right
    if total.__class__ is float or total.__class__ is int:
        return total
    return built(total, spent)


def times(left: Any, right: Any, spent: list[int] | None = None) -> Any:
    """Multiply; refuse to repeat a text or list above the limit, and integers of too many bits."""
    if left.__class__ is float or right.__class__ is float:
        return left * right
    if left.__class__ is int and right.__class__ is int:
        product = left * right
        return product if -_WORD < product < _WORD else _whole(product, "*", spent)
    for items, count in (left, right), (right, left):
        if isinstance(count, int) and count > 0 and hasattr(items, "__len__"):
            weight = weigh(items)
            _check(weight * count)
            if spent is not None:
                spend(spent, weight)
    return built(left * right, spent)


def power(base: Any, exponent: Any, spent: list[int] | None = None) -> Any:
    """Raise to a power; refuse integers of too many bits."""
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and abs(base) > 1 and (base.bit_length() - 1) * abs(exponent) > MAX_BITS:
        raise _too_many_bits("**")
    result = base**exponent
    if isinstance(result, complex):  # no record can hold it
        raise ArithmeticError(  # noqa: TRY004
            f"`**` takes no negative number, such as {base}, to the power of {exponent}"
        )
    return _whole(result, "**", spent) if isinstance(result, int) else result


def modulo(left: Any, right: Any, _: list[int] | None = None) -> Any:
    """Take the remainder; refuse `text % values`, whose widths can build texts of any size."""
    if isinstance(left, str | bytes | bytearray):
        raise TypeError("`%` takes numbers; write text with f'...'")
    return left % right


def bounded_sum(items: Iterable[Any], start: Any = 0) -> Any:
    """Add up numbers; or lists, in linear time."""
    if not isinstance(start, list | tuple):
        return sum(items, start)
    joined: list[Any] = list(start)
    for item in items:
        if not isinstance(item, list | tuple) or isinstance(item, list) is not isinstance(start, list):
            raise TypeError("sum() adds up lists to a list, and tuples to a tuple")
        joined.extend(item)
        _check(_ITEM * len(joined))
    return joined if isinstance(start, list) else tuple(joined)


def bounded_set(items: Iterable[Any] = ()) -> set[Any]:
    """Make a set, which is a sorted list in a record; of at most 8,000 values that are not text."""
    items = listed(items)
    _check_hashing(_hashing(items, pairs=False))
    return set(items)


def bounded_dict(pairs: Any = (), **named: Any) -> dict[Any, Any]:
    """Make a mapping of pairs, or of names and values; of at most 8,000 keys that are not text."""
    if not isinstance(pairs, Mapping):
        pairs = listed(pairs)
        _check_hashing(_hashing(pairs, pairs=True))
    return dict(pairs, **named)


def listed(items: Iterable[Any]) -> Any:
    """Return items, those of a generator as a list; refuse more of them than a list may have."""
    found = in_order(items) if isinstance(items, Sized) else list(islice(items, MAX_ITEMS + 1))
    if len(found) > MAX_ITEMS:
        raise _too_large()
    return found


def _hashing(items: Any, *, pairs: bool) -> int:
    """
    Return the worst-case cost of putting items into a set or mapping.

    The producer of a record may choose numbers with equal hashes, so that each is compared with all others;
    the hashes of texts cannot be predicted.
    """
    if isinstance(items, Mapping | set | frozenset | str | bytes) or not hasattr(items, "__len__"):
        return 0
    keys = (item[0] for item in items if isinstance(item, tuple | list) and item) if pairs else items
    numbers = sum(key.__class__ is not str for key in keys)
    return numbers * numbers


def _check_hashing(work: int) -> None:
    if work > MAX_WORK:
        raise TooLargeError(
            f"set() and mappings take at most {isqrt(MAX_WORK):,} values that are not text; use a call stage"
        )


@deep
def bounded_text(value: Any = "") -> str:
    """Write a value as text; a date or moment in the form that records use."""
    if isinstance(value, date):
        return iso(value)
    weighed(value)
    return str(as_record(value) if isinstance(value, dict | list | tuple | set) else value)


def merged(*mappings: Any) -> dict[str, Any]:
    """Merge mappings, as `{**a, **b}`; later values replace earlier ones of the same key."""
    whole: dict[str, Any] = {}
    for mapping in mappings:
        if not isinstance(mapping, dict):
            raise TypeError(f"`**` takes a mapping, not {type(mapping).__name__}")
        if not all(key.__class__ is str for key in mapping):
            raise TypeError("`**` takes mappings whose keys are text")
        whole.update(mapping)
    return built(whole)


def bounded_join(separator: str, items: Iterable[Any]) -> str:
    """Put a separator between items; items that are not text are written as text."""
    parts: list[str] = []
    total = 0
    for item in in_order(items):
        part = item if item.__class__ is str else bounded_text(item)
        total += len(part) + len(separator)
        _check(total)
        parts.append(part)
    return separator.join(parts)


def bounded_replace(text: str, old: str, new: str) -> str:
    """Replace every occurrence of one text by another."""
    _check(len(text) + str.count(text, old) * len(new))
    return str.replace(text, old, new)


def bounded_range(start: int, stop: int | None = None, step: int = 1) -> list[int]:
    """List whole numbers, at most 1,000,000."""
    numbers = range(start) if stop is None else range(start, stop, step)
    # Slicing instead of len(): a range longer than a machine word has no len().
    if numbers[MAX_ITEMS:]:
        raise TooLargeError(f"range() may give at most {MAX_ITEMS:,} numbers")
    return list(numbers)


def _whole(number: int, operator: str, spent: list[int] | None) -> int:
    if number.bit_length() > MAX_BITS:
        raise _too_many_bits(operator)
    return built(number, spent)


def _check(measured: int) -> None:
    if measured > MAX_SIZE:
        raise _too_large()


def _too_large() -> TooLargeError:
    return TooLargeError(
        f"it would build a value larger than {MAX_SIZE:,} characters (an item counts {_ITEM}); "
        "use a call stage"
    )


def _too_many_bits(operator: str) -> TooLargeError:
    return TooLargeError(f"`{operator}` may give whole numbers of at most {MAX_BITS:,} bits")
