"""Dead letter JSON: a dead letter as one JSON object, as printed, exported and read by `dlq`."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from msgspec import Struct

from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.ops.dead_letters.selection import DeadLetterName, parse_name
from rsq_pipe.streams.wording import unreadable


def described(letter: DeadLetter, payloads: Payloads) -> dict[str, Any]:
    """Describe a dead letter by the keys listed in docs/guide/dead-letters.md."""
    return {**letter.facts(), "headers": dict(letter.headers), **payloads.document(letter.raw)}


_object = msgspec.json.Decoder(dict[str, Any]).decode


class Edit(Struct, frozen=True):
    """
    Hold one line of an edited export.

    Args:
        name: The dead letter it belongs to.
        payload: The record; None if the line holds bytes.
        raw: The bytes; None if the line holds a record.
        place: The line's place, `file:line`.
    """

    name: DeadLetterName
    payload: dict[str, Any] | None
    raw: bytes | None
    place: str


def read_edit(line: str, place: str) -> Edit:
    """
    Read one line of an edited export: `stage`, `id`, and `payload` or `raw`. Other keys are ignored.

    Raises:
        ValueError: The line is invalid; the message says where and why.
    """
    try:
        value = _object(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        why = unreadable(exc, line)
        raise ValueError(f"{place}: not a JSON object, as `dlq export` writes them: {why}") from exc
    stage, entry_id = value.get("stage", ""), value.get("id")
    name = parse_name(f"{stage}/{entry_id}" if stage else str(entry_id))
    if name is None:
        raise ValueError(f"{place}: `stage` and `id` do not name a dead letter; keep them as they were")
    match value:
        # `payload` comes first: an edited line may still hold the bytes that were not a record.
        case {"payload": dict(payload)}:
            return Edit(name, payload, None, place)
        case {"payload": _}:
            raise ValueError(f"{place}: `payload` is a record, so a JSON object")
        case {"raw": str(raw)}:
            try:
                return Edit(name, None, base64.b64decode(raw, validate=True), place)
            except binascii.Error as exc:
                raise ValueError(f"{place}: `raw` is not base64") from exc
        case _:
            raise ValueError(f"{place}: there is neither `payload` nor `raw`")
