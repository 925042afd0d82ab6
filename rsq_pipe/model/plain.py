"""Plain records: records as they come out of a stream, for stages without a stream between them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from rsq_pipe.model.finite import may_hold_null
from rsq_pipe.model.key_texts import have_text_keys
from rsq_pipe.model.own_stack import on_own_stack
from rsq_pipe.model.subclasses import plain_value

_SCALARS = frozenset((str, int, float, bool, type(None)))
_RECORDS, _NAMES = frozenset((dict,)), frozenset((str,))
_MAX_INT = 2**63
_UNWRITABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
_encoder = msgspec.json.Encoder(enc_hook=plain_value)
_decoder = msgspec.json.Decoder(list[dict[str, Any]])
_raws = msgspec.json.Decoder(list[msgspec.Raw])


def is_plain(values: Collection[Any]) -> bool:
    """
    Return whether values are the same after they have been written to a stream and read again.

    Checks scalars only: False for lists and dicts, which may hold anything, for numbers that are not finite
    or need more than 64 bits, and for text with half of a surrogate pair.
    """
    kinds = {*map(type, values)}
    if not kinds <= _SCALARS:
        return False
    if float in kinds and not all(math.isfinite(value) for value in values if type(value) is float):
        return False
    if int in kinds:
        numbers = [value for value in values if type(value) is int]
        if not _fit(numbers):
            return False
    return str not in kinds or _is_text("".join([value for value in values if type(value) is str]))


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def are_plain(
    records: Sequence[dict[str, Any]], changed: Collection[str] | None = None, *, any_size: bool = False
) -> bool:
    """
    Return whether the records of a batch are the same after writing them to a stream and reading them.

    Args:
        records: The records.
        changed: The fields whose values may not have come out of a stream; None for all.
        any_size: Whether the stream's format keeps integers of more than 64 bits.
    """
    if changed is not None:
        return is_plain([record[name] for record in records for name in changed if name in record])
    if not {*map(type, records)} <= _RECORDS:
        return False
    names: set[Any] = set().union(*records)
    if not {*map(type, names)} <= _NAMES or not _is_text("".join(names)):
        return False
    kinds = {*map(type, _values(records))}
    if not kinds <= _SCALARS:
        return False
    if float in kinds and not all(math.isfinite(value) for value in _values(records) if type(value) is float):
        return False
    if int in kinds and not any_size and not _fit([v for v in _values(records) if type(v) is int]):
        return False
    return str not in kinds or _can_be_written(records)


class Copies(NamedTuple):
    """
    Hold records as if read from a stream of JSON, and their encoded bytes.

    Args:
        records: The records; they share no values with those they were copied from.
        raw: Their bytes, as one list.
    """

    records: list[dict[str, Any]]
    raw: bytes

    def singles(self) -> list[bytes]:
        """Return the bytes of each record."""
        return _apart(self.raw)


def copied(records: Sequence[Any]) -> Copies | None:
    """Encode records as JSON and decode them, all at once; None if one of them has to be checked alone."""
    raw = _as_list(records)
    if raw is None:
        return None
    try:
        # Half the work of decoding them, with the same result, except that tuples stay tuples.
        has_lists = raw.find(b"[", 1) > 0
        if has_lists:
            return Copies(_decoder.decode(raw), raw)
        return Copies(msgspec.to_builtins(records, str_keys=True, enc_hook=plain_value), raw)
    except _UNWRITABLE:  # too deeply nested, for example
        return None


def singles(records: Sequence[Any]) -> list[bytes] | None:
    """Encode each record as JSON, to separate bytes; None as in `copied`."""
    if not {*map(type, records)} <= _RECORDS:
        return None
    try:
        raws = [*map(_encoder.encode, records)]
    except _UNWRITABLE:
        return None
    return None if _has_nan(b"".join(raws), records) or not have_text_keys(records) else raws


def _as_list(records: Sequence[Any]) -> bytes | None:
    if not {*map(type, records)} <= _RECORDS:
        return None
    try:
        raw = _encoder.encode(records)
    except _UNWRITABLE:
        return None
    return None if _has_nan(raw, records) or not have_text_keys(records) else raw


def _has_nan(raw: bytes, records: Sequence[Any]) -> bool:
    """Return whether a number may be NaN, which is written as null: if all nulls are plain ones, none is."""
    return may_hold_null(raw) and raw.count(b"null") != sum(map(_count_none, map(dict.values, records)))


def _apart(raw: bytes) -> list[bytes]:
    return [*map(bytes, on_own_stack(_raws.decode, raw))]


def _count_none(values: Iterable[Any]) -> int:
    return list(values).count(None)


def _values(records: Sequence[dict[str, Any]]) -> Iterable[Any]:
    return chain.from_iterable(map(dict.values, records))


def _can_be_written(records: Sequence[dict[str, Any]]) -> bool:
    try:
        _encoder.encode(records)  # it refuses half a surrogate pair, faster than joining all texts
    except ValueError:
        return False
    return True


def _fit(numbers: Sequence[int]) -> bool:
    return max(numbers) < _MAX_INT and min(numbers) >= -_MAX_INT
