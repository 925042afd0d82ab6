"""Packs: several records in the bytes of one entry."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import methodcaller
from typing import Any, NamedTuple

import msgpack
import msgspec

from rsq_pipe.errors import DecodeError, EncodeError
from rsq_pipe.model.finite import not_finite
from rsq_pipe.model.key_texts import have_text_keys, same_text
from rsq_pipe.model.line_records import LineRecords
from rsq_pipe.model.own_stack import on_own_stack
from rsq_pipe.model.packed import packed
from rsq_pipe.model.record_ids import RecordIds
from rsq_pipe.model.row_records import RowRecords, maker, row_records
from rsq_pipe.model.subclasses import plain_value


class Packed(NamedTuple):
    """
    Hold the records of a pack.

    Args:
        records: The records.
        rids: Their ids.
        headers: Place -> headers other than the id, for the few records that have any.
    """

    records: Sequence[dict[str, Any]]
    rids: Sequence[str]
    headers: dict[int, dict[str, str]]


_DICTS, _TEXTS = frozenset((dict,)), frozenset((str,))
_read_whole = msgspec.json.Decoder(tuple[None, list[msgspec.Raw], str, list[str], dict[str, Any]]).decode
_count_none = methodcaller("count", None)

# A pack is [names, rows, prefix, rests, headers]: the fields' names once, if all records have the same ones
# in the same order, and a list of values per record; otherwise names is null, and the rows are the records.
# Ids are split into a common prefix and the rests. docs/adr/0015-packs.md has the measurements.


class Packs:
    """
    Encode records as a pack and decode them; the records come out as they went in.

    Args:
        form: The name of the format.
        write: Encodes a list of plain values.
        read: Decodes it.
        has_nan: Whether the format can express NaN; if not, its writer writes null instead.
        has_lines: Whether records may be written as lines of JSON.
    """

    def __init__(
        self,
        form: str,
        write: Callable[[Any], bytes],
        read: Callable[[bytes], Any],
        *,
        has_nan: bool,
        has_lines: bool = False,
    ) -> None:
        self._form = form
        self._write = write
        self._read = read
        self._has_nan = has_nan
        self._has_lines = has_lines

    def encode(
        self,
        records: Sequence[Any],
        rids: Sequence[str],
        headers: Mapping[int, Mapping[str, str]],
        *,
        finite: bool = False,
        whole: bool = False,
    ) -> bytes:
        """
        Encode records; raise EncodeError if any of them cannot be encoded, without saying which.

        Args:
            records, rids, headers: As in Packed.
            finite: Whether none of their numbers is known to be NaN or infinite.
            whole: Whether to write each record as a line of JSON; if one of them cannot be, for example
                because it holds an object, the bytes do not end with `LINES`.
        """
        whole = whole and self._has_lines
        names, rows = _rows(records, whole=whole)
        ids = rids if isinstance(rids, RecordIds) else RecordIds.of(rids)
        beside = {str(place): dict(some) for place, some in headers.items()}
        try:
            raw = self._write([names, rows, ids.prefix, ids.rests, beside])
            # If all nulls are plain ones, none of them was a NaN. The null of the names does not count.
            # rfind, since `in` takes three times as long.
            unsure = not (finite or self._has_nan) and raw.rfind(b"null") > 1
            if unsure and raw.count(b"null") != _nulls(names, rows):
                place = not_finite(msgspec.to_builtins(rows, enc_hook=plain_value))
                if place:
                    raise EncodeError(f"a record cannot be written as JSON: {place} is not a finite number")
            is_lines = whole and names is None and _are_lines(raw, rows, headers)
            # Keys are text in lines, and in rows that hold no object: the last one is that of the headers.
            # In msgpack, two keys that differ stay different; `packed` has checked them.
            unsure = not (finite or self._has_nan or is_lines) and (
                names is None or raw.find(b"{") < len(raw) - 3
            )
            if unsure and not have_text_keys(rows) and (why := same_text(rows)):
                raise EncodeError(f"a record cannot be written as JSON: {why}")
        except (TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise EncodeError(f"a record cannot be written as {self._form}: {exc}") from exc
        return raw + LINES if is_lines else raw

    def decode(self, raw: bytes, *, as_rows: bool = False) -> Packed:
        """
        Decode a pack; raise DecodeError if the bytes are none.

        Args:
            raw: The bytes.
            as_rows: Whether the records may be `RowRecords` or `LineRecords`, if the pack allows it.
        """
        records: Sequence[dict[str, Any]]
        try:
            if as_rows and self._has_lines and raw.find(LINES) == len(raw) - 1:
                try:
                    _, texts, prefix, rests, headers = _read_whole(raw)
                except RecursionError:
                    _, texts, prefix, rests, headers = on_own_stack(_read_whole, raw)
                records = LineRecords(texts)
            else:
                plain = _whole(raw) if raw[:1] == _COMPRESSED else raw
                try:
                    names, rows, prefix, rests, headers = self._read(plain)
                except RecursionError:
                    names, rows, prefix, rests, headers = on_own_stack(self._read, plain)
                if names is not None:
                    records = row_records(names, rows) if as_rows else maker(tuple(names))(rows)
                elif {*map(type, rows)} <= _DICTS:
                    records = rows
                else:
                    raise ValueError("one of them is not a record")  # noqa: TRY301  told as all else
            "".join((prefix, *rests))  # raises if one is not text
            if type(rests) is not list or len(records) != len(rests):
                raise ValueError(f"{len(records)} records with {len(rests)} ids")  # noqa: TRY301  as above
            return Packed(
                records, RecordIds(prefix, rests), _beside(headers, len(records)) if headers else {}
            )
        except Exception as exc:  # invalid bytes raise many types; msgpack has some of its own
            raise DecodeError(f"the entry is not a pack of records: {exc}", raw) from exc


class JsonPacks(Packs):
    """Encode packs as one line of JSON, readable in `redis-cli`; types that JSON lacks become text."""

    def __init__(self) -> None:
        write, read = msgspec.json.Encoder(enc_hook=plain_value).encode, msgspec.json.Decoder().decode
        super().__init__("JSON", write, read, has_nan=False, has_lines=True)


class MsgpackPacks(Packs):
    """Encode packs as msgpack, for pipelines with `serializer: msgpack`."""

    def __init__(self) -> None:
        super().__init__(
            "msgpack",
            packed,
            partial(msgpack.unpackb, raw=False, strict_map_key=False),
            has_nan=True,
        )


LINES = b"\n"
"""The last byte of a pack whose records are lines of JSON; no other pack ends with it."""

_COMPRESSED = b"x"
"""The first byte of zlib's output; no pack begins with it."""

_MOST = 16 * 1024 * 1024
"""Maximum bytes of a decompressed pack: a larger one was not written by this library."""


def compressed(raw: bytes) -> bytes:
    """
    Compress a pack's bytes: `decode` reads both forms.

    Records of one stream are similar: a third to a fifth of the bytes remains, for a microsecond a record.
    """
    return zlib.compress(raw, 1)


def _whole(raw: bytes) -> bytes:
    reader = zlib.decompressobj()
    try:
        whole = reader.decompress(raw, _MOST)
    except zlib.error as exc:
        raise ValueError(f"zlib cannot read it: {exc}") from exc
    if not reader.eof:
        raise ValueError("it is cut off, or too large")
    return whole


def _rows(records: Sequence[Any], *, whole: bool) -> tuple[Sequence[Any] | None, Sequence[Any]]:
    """
    Return the fields' names and the values of each record; if names differ, no names and the records.

    Args:
        records: The records.
        whole: Whether to leave dicts as they are, even if their names are the same.
    """
    if isinstance(records, RowRecords):
        if (rows := records.rows) is not None:
            return records.names, rows
        records = [*records]
    if {*map(type, records)} != _DICTS:
        wrong = next(record for record in records if type(record) is not dict)
        raise EncodeError(f"a record is a dict, not {type(wrong).__name__}", wrong)
    first = records[0]
    # Any other name becomes text only when it is written as a key, not as a value.
    if whole or not all(type(name) is str for name in first):
        return None, records
    names = list(first)
    if not all(list(record) == names for record in records if record is not first):
        return None, records
    return names, [list(record.values()) for record in records]


def _are_lines(raw: bytes, records: Sequence[Any], headers: Mapping[int, Any]) -> bool:
    """Return whether a pack without names stores its records as lines: none of them holds an object."""
    if raw.count(b"{") != len(records) + 1 + len(headers) or LINES in raw:
        return False
    # A number and its text, both as names, are the same name after decoding.
    return {*map(type, set().union(*records))} <= _TEXTS


def _nulls(names: Sequence[Any] | None, rows: Sequence[Any]) -> int:
    """Count the nulls that a pack's bytes hold if no value is NaN, none is nested and no text says "null"."""
    if names is None:
        return 1 + sum(list(record.values()).count(None) for record in rows)
    return sum(map(_count_none, rows))


def _beside(headers: Any, count: int) -> dict[int, dict[str, str]]:
    found = {int(place): beside for place, beside in headers.items()}
    for place, beside in found.items():
        if not 0 <= place < count:
            raise ValueError(f"headers of record {place}, which is not there")
        "".join((*beside.keys(), *beside.values()))
    return found
