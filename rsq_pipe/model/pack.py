"""Packs: several records in the bytes of one entry."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from operator import methodcaller
from os.path import commonprefix
from typing import Any, NamedTuple, Protocol

import msgpack
import msgspec

from rsq_pipe.errors import DecodeError, EncodeError
from rsq_pipe.model.finite import not_finite
from rsq_pipe.model.row_records import RowRecords, maker, row_records


class Packed(NamedTuple):
    """
    Hold the records of a pack.

    Args:
        records: The records.
        rids: Their ids.
        headers: Place -> headers beside the id, of the few records that have any.
    """

    records: Sequence[dict[str, Any]]
    rids: list[str]
    headers: dict[int, dict[str, str]]


class Packs(Protocol):
    """Turn records into the bytes of a pack and back: what a record holds comes out as it went in."""

    def encode(
        self,
        records: Sequence[Any],
        rids: Sequence[str],
        headers: Mapping[int, Mapping[str, str]],
        *,
        finite: bool = False,
    ) -> bytes:
        """
        Encode records; EncodeError where one of them cannot be, whichever it is.

        Args:
            records, rids, headers: As of Packed.
            finite: Whether it is known that no number of theirs is NaN or infinite.
        """
        ...

    def decode(self, raw: bytes, *, as_rows: bool = False) -> Packed:
        """Decode a pack, to `RowRecords` where wished and possible; DecodeError where the bytes are none."""
        ...


_DICTS = frozenset((dict,))
_count_none = methodcaller("count", None)

# A pack is [names, rows, prefix, rests, headers]: the fields' names once, where all records have the same in
# one order, and a list of values for each record; else names is null, and the rows are the records. Ids are
# cut in two: most begin alike. docs/adr/0015-packs.md has the measurements behind this form.


class JsonPacks:
    """Write packs as one line of JSON, which `redis-cli` shows as text."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder()

    def encode(
        self,
        records: Sequence[Any],
        rids: Sequence[str],
        headers: Mapping[int, Mapping[str, str]],
        *,
        finite: bool = False,
    ) -> bytes:
        """Encode records; what JSON has no type for is written as text, as by JsonSerializer."""
        parts = _parts(records, rids, headers)
        try:
            raw = self._encoder.encode(parts)
            # msgspec writes NaN as null. Where all nulls are plain ones, there is none.
            if not finite and b"null" in raw and raw.count(b"null") != _nulls(parts):
                place = not_finite(msgspec.to_builtins(parts[1]))
                if place:
                    raise EncodeError(f"a record cannot be written as JSON: {place} is not a finite number")
        except (TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise EncodeError(f"a record cannot be written as JSON: {exc}") from exc
        return raw

    def decode(self, raw: bytes, *, as_rows: bool = False) -> Packed:
        """Decode a pack."""
        try:
            if raw[:1] == _COMPRESSED:
                raw = _whole(raw)
            return _read(self._decoder.decode(raw), as_rows=as_rows)
        except (msgspec.DecodeError, RecursionError, ValueError, TypeError, AttributeError) as exc:
            raise DecodeError(f"the entry is not a pack of records: {exc}", raw) from exc


class MsgpackPacks:
    """Write packs as msgpack, for pipelines with `serializer: msgpack`."""

    def encode(
        self,
        records: Sequence[Any],
        rids: Sequence[str],
        headers: Mapping[int, Mapping[str, str]],
        *,
        finite: bool = False,  # noqa: ARG002  msgpack writes NaN as what it is
    ) -> bytes:
        """Encode records, as by MsgpackSerializer."""
        try:
            raw: bytes = msgpack.packb(_parts(records, rids, headers), use_bin_type=True, datetime=False)
        except (TypeError, ValueError, OverflowError) as exc:
            raise EncodeError(f"a record cannot be written as msgpack: {exc}") from exc
        return raw

    def decode(self, raw: bytes, *, as_rows: bool = False) -> Packed:
        """Decode a pack."""
        try:
            if raw[:1] == _COMPRESSED:
                raw = _whole(raw)
            return _read(msgpack.unpackb(raw, raw=False, strict_map_key=False), as_rows=as_rows)
        except Exception as exc:  # the unpacker raises ValueError, its own types and UnicodeDecodeError
            raise DecodeError(f"the entry is not a pack of records: {exc}", raw) from exc


_COMPRESSED = b"x"
"""The first byte of what zlib wrote; no pack begins with it."""

_MOST = 16 * 1024 * 1024
"""Bytes of a pack, at most: what would be more is none of ours."""


def compressed(raw: bytes) -> bytes:
    """
    Write a pack's bytes small: `decode` reads both.

    Records of one stream are alike: a third to a fifth of the bytes is left, for a microsecond a record.
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


def _parts(
    records: Sequence[Any], rids: Sequence[str], headers: Mapping[int, Mapping[str, str]]
) -> list[Any]:
    names, rows = _rows(records)
    prefix = commonprefix([min(rids), max(rids)])  # noqa: RUF071  texts, no paths
    rests = [rid[len(prefix) :] for rid in rids] if prefix else list(rids)
    beside = {str(place): dict(some) for place, some in headers.items()}
    return [names, rows, prefix, rests, beside]


def _rows(records: Sequence[Any]) -> tuple[Sequence[Any] | None, Sequence[Any]]:
    """Return the fields' names and the values of each record; no names and the records where these differ."""
    if isinstance(records, RowRecords):
        if (rows := records.rows) is not None:
            return records.names, rows
        records = [*records]
    if {*map(type, records)} != _DICTS:
        wrong = next(record for record in records if type(record) is not dict)
        raise EncodeError(f"a record is a dict, not {type(wrong).__name__}", wrong)
    first = records[0]
    # Any other name than a text is text only when it has been written, as a key and not as a value.
    if not all(type(name) is str for name in first):
        return None, records
    names = list(first)
    if not all(list(record) == names for record in records if record is not first):
        return None, records
    return names, [list(record.values()) for record in records]


def _nulls(parts: Sequence[Any]) -> int:
    """Count the nulls that a pack's bytes hold if no value is NaN, none is nested and no text says "null"."""
    names, rows = parts[0], parts[1]
    if names is None:
        return 1 + sum(list(record.values()).count(None) for record in rows)
    return sum(map(_count_none, rows))


def _read(parts: Any, *, as_rows: bool) -> Packed:
    names, rows, prefix, rests, headers = parts
    records: Sequence[dict[str, Any]]
    if names is not None:
        records = row_records(names, rows) if as_rows else maker(tuple(names))(rows)
    elif all(type(record) is dict for record in rows):
        records = rows
    else:
        raise ValueError("one of them is no record")
    rids = [prefix + rest for rest in rests] if prefix else rests
    "".join(rids)  # raises where one is no text
    if len(records) != len(rids):
        raise ValueError(f"{len(records)} records with {len(rids)} ids")
    return Packed(records, rids, _beside(headers, len(records)) if headers else {})


def _beside(headers: Any, count: int) -> dict[int, dict[str, str]]:
    found = {int(place): beside for place, beside in headers.items()}
    for place, beside in found.items():
        if not 0 <= place < count:
            raise ValueError(f"headers of record {place}, which is not there")
        "".join((*beside.keys(), *beside.values()))
    return found
