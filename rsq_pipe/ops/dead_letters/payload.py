"""Payload: a dead letter's bytes as a record, and a record as bytes. Never unpickles."""

from __future__ import annotations

import base64
import json
from typing import Any, Literal

from rsq_pipe.errors import DecodeError
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer

Format = Literal["json", "msgpack"]

MAX_DEPTH = 200
"""Maximum depth of a record shown as JSON; a deeper one is shown as bytes. Python's json ends at some 900."""

_SERIALIZERS: dict[Format, Serializer] = {"json": JsonSerializer(), "msgpack": MsgpackSerializer()}


class Payloads:
    """
    Decode and encode the records of one pipeline.

    Args:
        form: The pipeline's serializer, if it is known; bytes of the other are read as well.
    """

    def __init__(self, form: Format | None) -> None:
        self._form = form

    def decode(self, raw: bytes) -> dict[str, Any] | None:
        """Decode a record; None if the bytes are not one."""
        found = self._read(raw)
        return found[1] if found else None

    def encode(self, record: dict[str, Any], like: bytes) -> bytes:
        """
        Encode a record.

        Args:
            record: The record.
            like: The bytes it replaces.

        Raises:
            EncodeError: It holds something that cannot be written.
            ValueError: Neither the pipeline's format nor that of the old bytes is known.
        """
        found = self._read(like)
        form = self._form or (found[0] if found else None)
        if form is None:
            raise ValueError(
                "how the pipeline writes records is not known; name the pipeline by its file, not its name"
            )
        return _SERIALIZERS[form].encode(record)

    def document(self, raw: bytes) -> dict[str, Any]:
        """
        Return a record as a part of a JSON document.

        Returns:
            The record under `payload`; bytes that are not a record, and records that JSON cannot hold, under
                `raw` in base64, and readable under `text`, with everything but UTF-8 escaped.
        """
        record = as_json(self.decode(raw))
        if record is None:
            return {"raw": base64.b64encode(raw).decode(), "text": raw.decode("utf-8", "backslashreplace")}
        return {"payload": record}

    def _read(self, raw: bytes) -> tuple[Format, dict[str, Any]] | None:
        # The other one may have been the pipeline's when these were written.
        forms: tuple[Format, ...] = ("msgpack", "json") if self._form == "msgpack" else ("json", "msgpack")
        for form in forms:
            try:
                return form, _SERIALIZERS[form].decode(raw)
            except DecodeError:
                continue
        return None


def as_json(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """
    Return a record if JSON can hold it without loss and Python can encode it, otherwise None.

    msgpack has bytes, and keys of any type; and deeply nested data may be decodable but not encodable.
    """
    try:
        if record is None or not _holds(record):
            return None
        json.dumps(record, allow_nan=False)
    except ValueError:  # NaN, or a number with more digits than Python prints
        return None
    return record


def _holds(record: dict[str, Any]) -> bool:
    level: list[Any] = [record]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if not all(type(key) is str for key in item):
                    return False
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif item is not None and not isinstance(item, str | int | float):
                return False
        if not below:
            return True
        level = below
    return False
