"""Commands: the commands that are sent for each record."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from math import isfinite
from typing import Any

from rsq_pipe.connectors.computed import computed
from rsq_pipe.connectors.jsonl.json_lines import json_lines, json_rows
from rsq_pipe.connectors.record_id import named
from rsq_pipe.connectors.redis.options import Options
from rsq_pipe.connectors.redis.template import parse_template
from rsq_pipe.errors import EncodeError, without_frames
from rsq_pipe.model.batch import Batch

MAX_FIELDS = 1_000
"""Maximum number of a record's fields in a hash: Lua passes no more to a command."""

Words = Sequence[str | bytes | int]

TYPES = {
    "hash": "hash",
    "json": "ReJSON-RL",
    "list": "list",
    "set": "set",
    "sorted_set": "zset",
    "string": "string",
}
"""Kind -> the server's name for the type of its keys."""


COMMANDS = {
    "hash": ("pexpire",),
    "json": ("json.set", "command|info", "pexpire"),
    "list": ("rpush", "ltrim", "pexpire"),
    "set": ("pexpire",),
    "sorted_set": ("pexpire",),
    "string": ("pexpire",),
    "pubsub": ("publish",),
}
"""Kind -> the rights a user needs, in addition to those for every pipeline."""


class Commands:
    """
    Build the commands for records.

    Args:
        options: The sink's settings; its expressions are compiled.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._template = parse_template(options.key)
        self._expiry = [] if options.ttl is None else [("PEXPIRE", round(options.ttl * 1000))]

    def of(self, batch: Batch) -> tuple[dict[int, tuple[str, list[Words]]], dict[int, Exception]]:
        """Return each place's key, and commands without the key; and place -> why, if that is impossible."""
        rows, failures = json_rows(batch, rid=self._options.rid)
        found: dict[int, tuple[str, list[Words]]] = {}
        for place, line in rows.items():
            record = batch.records[place]
            try:
                shown = named(record, batch.rids[place]) if self._options.rid else record
                found[place] = (self._template.key(record), [*self._written(shown, line), *self._expiry])
            except Exception as exc:  # noqa: BLE001  a computed value may be too large to write
                failures[place] = without_frames(exc)
        return found, failures

    def _written(self, record: Any, line: bytes) -> list[Words]:
        options = self._options
        match options.kind:
            case "hash":
                return self._hash(record)
            case "json":
                return [("JSON.SET", "$", line)]
            case "string":
                return [("SET", self._one(record, line))]
            case "list":
                trimmed = [] if options.max is None else [("LTRIM", -options.max, -1)]
                return [("RPUSH", self._one(record, line)), *trimmed]
            case "set":
                return [("SADD", self._one(record, line))]
            case "sorted_set":
                return [("ZADD", self._number(record), self._one(record, line))]
            case "pubsub":
                return [("PUBLISH", self._one(record, line))]

    def _hash(self, record: Any) -> list[Words]:
        if not isinstance(record, dict):
            raise EncodeError("a hash needs a record with fields", record)
        if len(record) > MAX_FIELDS:
            raise EncodeError(f"it has {len(record):,} fields; a hash takes {MAX_FIELDS:,} at most", record)
        words: list[str | bytes | int] = []
        absent: list[str] = []
        for name, value in record.items():
            if value is None:
                absent.append(name)
            else:
                words += (name, _text(value))
        gone: list[Words] = []
        if not self._options.merge:
            gone = [("DEL",)]
        elif absent:
            gone = [("HDEL", *absent)]
        return [*gone, *([("HSET", *words)] if words else [])]

    def _one(self, record: Any, line: bytes) -> str | bytes:
        value = self._options.value
        return line if value is None else _text(computed("value", value, record))

    def _number(self, record: Any) -> str:
        assert self._options.score is not None
        score = computed("score", self._options.score, record)
        if isinstance(score, bool) or not isinstance(score, int | float) or not isfinite(score):
            raise EncodeError(f"its `score` is {score!r}, and not a number", record)
        return repr(float(score))


def _text(value: Any) -> str | bytes:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return b64encode(value)  # as in JSON, but without its quotes, like a text
    return _json(value)


def _json(value: Any) -> bytes:
    lines, failures = json_lines(Batch([{"": value}], [""]))
    if failures:
        raise failures[0]
    return lines[len(b'{"":') : -len(b"}\n")]
