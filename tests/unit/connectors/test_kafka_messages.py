"""Messages of Kafka become records, or say which part of them cannot."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from rsq_pipe.connectors.kafka.messages import Messages
from rsq_pipe.connectors.kafka.settings import ReadOptions
from rsq_pipe.connectors.source import Chunk


def read(settings: dict[str, Any], **message: Any) -> Chunk:
    options = ReadOptions.model_validate({"brokers": ["kafka:9092"], "topic": "t", **settings})
    parts = {"offset": 1, "key": None, "value": b'{"n":1}', "headers": (), "timestamp": 0, **message}
    return Messages(options).chunk("t/0", [SimpleNamespace(**parts)], "2")


@pytest.mark.parametrize(
    ("milliseconds", "field"),
    [(1_795_846_430_506, "2026-11-28T06:13:50.506Z"), (0, "1970-01-01T00:00:00.000Z"), (-1, None)],
)
def test_a_timestamp_is_text_and_one_that_the_message_has_not_is_null(
    milliseconds: int, field: str | None
) -> None:
    chunk = read({"fields": {"at": "timestamp"}}, timestamp=milliseconds)

    assert list(chunk.records) == [{"n": 1, "at": field}]


@pytest.mark.parametrize(
    ("settings", "message", "why"),
    [
        ({"fields": {"k": "key"}}, {"key": b"\xff"}, "its key cannot be a field: it is not UTF-8"),
        (
            {"fields": {"at": "timestamp"}},
            {"timestamp": 1_795_846_430_506_000},
            "its timestamp, 1795846430506000, is not a time in milliseconds",
        ),
        ({}, {"value": b"\0\0\0\0\7\2{"}, "it is not JSON: .*; it begins with byte 0, as .* schema registry"),
        ({}, {"value": b"[1]"}, "^not a JSON object but an array$"),
        ({"format": "text"}, {"value": b"\0\xff"}, "^it is not UTF-8: it holds byte 0xff$"),
    ],
)
def test_what_is_not_a_record_names_the_part_that_keeps_it_from_being_one(
    settings: dict[str, Any], message: dict[str, Any], why: str
) -> None:
    chunk = read(settings, **message)

    ((_, arrival),) = chunk.broken
    assert list(chunk.records) == []
    assert re.search(why, arrival.error), arrival.error
