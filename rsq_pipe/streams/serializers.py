"""Serializers: turn a record into the bytes of an entry's `data` field, and back."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import msgpack
import msgspec

from rsq_pipe.errors import DecodeError, EncodeError
from rsq_pipe.model.finite import not_finite
from rsq_pipe.model.key_texts import have_text_keys, same_text
from rsq_pipe.model.own_stack import on_own_stack
from rsq_pipe.model.packed import packed
from rsq_pipe.model.subclasses import plain_value
from rsq_pipe.streams.unique_keys import unique_keys
from rsq_pipe.streams.wording import unreadable, unwritable

_SPACE = b" \t\r\n"


@runtime_checkable
class Serializer(Protocol):
    """Turn a record into bytes and bytes into a record."""

    def encode(self, data: Any) -> bytes:
        """Encode a record; EncodeError if that is impossible."""
        ...

    def decode(self, raw: bytes) -> Any:
        """Decode bytes; DecodeError if they are not a record."""
        ...


class JsonSerializer:
    """
    Read and write JSON objects.

    Args:
        strict: Also refuse objects that name a key twice. Costs a count per record; the runner turns it
            off between its own stages, whose bytes it wrote itself.
        again: Whether it encodes what was read: this succeeds even if the stack is too deep for the value.
            Decoding always does.
    """

    def __init__(self, *, strict: bool = True, again: bool = False) -> None:
        self.strict = strict
        self._again = again
        self._encoder = msgspec.json.Encoder(enc_hook=plain_value)
        self._decoder = msgspec.json.Decoder(dict[str, Any])

    def encode(self, data: Any) -> bytes:
        """
        Encode a dict as UTF-8 JSON; NaN and infinities are refused, since JSON has none.

        Types that JSON lacks are written as text, and come back as text: bytes as base64, dates and times
        in ISO 8601, Decimals and UUIDs as they print.
        """
        if type(data) is not dict:
            raise EncodeError(f"a record is a dict, not {type(data).__name__}", data)
        try:
            raw, path = on_own_stack(self._written, data) if self._again else self._written(data)
            lost = "" if have_text_keys((data,)) else same_text(data)
        except (TypeError, ValueError, OverflowError, RecursionError) as exc:
            why = unwritable(data, self._encoder.encode, "JSON")
            raise EncodeError(f"the record cannot be written as JSON: {why}", data) from exc
        if path:
            raise EncodeError(f"the record cannot be written as JSON: {path} is not a finite number", data)
        if lost:
            raise EncodeError(f"the record cannot be written as JSON: {lost}", data)
        return raw

    def _written(self, data: dict[Any, Any]) -> tuple[bytes, str]:
        raw = self._encoder.encode(data)
        # msgspec writes NaN as null, which would change the record silently.
        return raw, not_finite(msgspec.to_builtins(data, enc_hook=plain_value)) if b"null" in raw else ""

    def decode(self, raw: bytes) -> dict[str, Any]:
        """Decode one JSON object."""
        try:
            try:
                record: dict[str, Any] = self._decoder.decode(raw)
            except RecursionError:
                record = on_own_stack(self._decoder.decode, raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise DecodeError(f"the data is not a JSON object: {unreadable(exc, raw)}", raw) from exc
        if self.strict and _may_repeat_a_key(raw, record):
            _refuse_duplicates(raw)
        return record

    def decode_all(self, raws: Sequence[bytes]) -> list[dict[str, Any]] | None:
        """Decode many at once, at half the cost per record; None if one of them has to be decoded alone."""
        try:
            records: list[dict[str, Any]] = [*map(self._decoder.decode, raws)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if self.strict:
            pairs = b"".join(raws).translate(None, _SPACE).count(b'":')
            # If the records contain no others, there are no more keys than this.
            if pairs != sum(map(len, records)) and pairs != sum(map(_keys, records)):
                return None
        return records


class MsgpackSerializer:
    """
    Read and write records as msgpack, in the form used by producers with the `msgpack` package.

    Args:
        strict: Also refuse maps that name a key twice.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self._hook = unique_keys if strict else None

    def encode(self, data: Any) -> bytes:
        """Encode a dict as msgpack."""
        if type(data) is not dict:
            raise EncodeError(f"a record is a dict, not {type(data).__name__}", data)
        try:
            return packed(data)
        except (TypeError, ValueError, OverflowError) as exc:
            why = unwritable(data, packed, "msgpack")
            raise EncodeError(f"the record cannot be written as msgpack: {why}", data) from exc

    def decode(self, raw: bytes) -> dict[str, Any]:
        """Decode one msgpack map."""
        try:
            record = msgpack.unpackb(raw, raw=False, strict_map_key=False, object_pairs_hook=self._hook)
        except Exception as exc:  # the unpacker raises ValueError, its own types and UnicodeDecodeError
            raise DecodeError(f"the data is not a msgpack map: {unreadable(exc)}", raw) from exc
        if type(record) is not dict:
            raise DecodeError(f"the data is a msgpack {type(record).__name__}, not a map", raw)
        return record


class PickleSerializer:
    """
    Read and write records with pickle, which runs whatever code the bytes contain.

    Args:
        trust_server: Must be True: anyone who can write to the stream can run code in this process.
    """

    def __init__(self, *, trust_server: bool = False) -> None:
        if not trust_server:
            raise ValueError(
                "PickleSerializer runs code from the stream; pass trust_server=True if only you can write "
                "to it, or use JsonSerializer"
            )

    def encode(self, data: Any) -> bytes:
        """Encode anything that can be pickled."""
        try:
            return pickle.dumps(data, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as exc:  # pickling calls user code, which may raise anything
            raise EncodeError(f"the record cannot be pickled: {exc}", data) from exc

    def decode(self, raw: bytes) -> Any:
        """Decode a pickle."""
        try:
            return pickle.loads(raw)  # noqa: S301  with trust_server, all writers are trusted
        except Exception as exc:  # unpickling calls user code, which may raise anything
            raise DecodeError(f"the data is not a pickle: {exc}", raw) from exc


def _may_repeat_a_key(raw: bytes, record: dict[str, Any]) -> bool:
    """Compare the number of `":` with the number of keys: cheap, and never wrong when it says no."""
    pairs = raw.translate(None, _SPACE).count(b'":')
    # If the record contains no others, there are no more keys than this.
    return pairs != len(record) and pairs != _keys(record)


def _keys(value: Any) -> int:
    """Count the keys of all objects in a decoded document, however deep: Python's own stack ends earlier."""
    total, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            total += len(item)
            item = item.values()
        waiting += [inner for inner in item if type(inner) is dict or type(inner) is list]
    return total


def _refuse_duplicates(raw: bytes) -> None:
    """Raise DecodeError if an object names a key twice; the count that led here is fooled by `":` in text."""
    try:
        json.loads(raw, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as exc:
        raise DecodeError(f"the data is not a JSON object: {unreadable(exc)}", raw) from exc
