"""Peek JSON: a record that stands before a stage, as one JSON object."""

from __future__ import annotations

import base64
from typing import Any

from rsq_pipe.ops.dead_letters.payload import Payloads, as_json
from rsq_pipe.ops.peek import Peeked


def document(found: Peeked, payloads: Payloads) -> dict[str, Any]:
    """Give the keys of `peek --json`, which stay as they are from one release to the next."""
    described: dict[str, Any] = {
        "state": found.state,
        "stream": found.stream,
        "id": found.id,
        "rid": found.rid,
        "headers": dict(found.headers),
        "consumer": found.consumer,
        "deliveries": found.deliveries,
        "idle_ms": found.idle_ms,
        "due_in": None if found.due_in is None else round(found.due_in, 3),
    }
    record = as_json(payloads.decode(found.raw))
    if record is None:
        text = found.raw.decode("utf-8", "backslashreplace")
        return described | {"raw": base64.b64encode(found.raw).decode(), "text": text}
    return described | {"payload": record}
