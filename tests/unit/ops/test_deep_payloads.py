"""Dead letters nested as deep as can just be read are shown, exported and mended, or said not to be."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from rsq_pipe.cli.output.dead_letter_text import payload_text
from rsq_pipe.cli.output.printable import json_line
from rsq_pipe.errors import DecodeError, EncodeError, ReplayError
from rsq_pipe.ops.dead_letters.dead_letter_json import described, read_edit
from rsq_pipe.ops.dead_letters.edits import Edits
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer
from tests.unit.ops.dead_letter_entries import ID, letter

DEPTHS = (90, 110, 300, 480, 500, 700, 900, 950, 980, 1_100, 100_000)
OPENINGS = {"lists": ("[", "]"), "objects": ('{"a":', "}")}


def deep(depth: int, kind: str, extra: str = "") -> bytes:
    opening, closing = OPENINGS[kind]
    return f'{{"n": null{extra}, "deep": {opening * depth}1{closing * depth}}}'.encode()


def below(frames: int, call: Callable[[], Any]) -> Any:
    """Call it with frames on the stack, as it is called below a command line."""
    return call() if frames == 0 else below(frames - 1, call)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("kind", OPENINGS)
@pytest.mark.parametrize("frames", [0, 60])
def test_a_deep_payload_is_exported_and_comes_back_as_it_was(depth: int, kind: str, frames: int) -> None:
    raw = deep(depth, kind)

    line = below(frames, lambda: json_line(described(letter(raw), Payloads("json"))))

    again = below(frames, lambda: read_edit(line, "file:1"))
    assert json.loads(line)["id"] == ID
    assert again.raw in (None, raw)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("kind", OPENINGS)
def test_a_deep_payload_is_shown(depth: int, kind: str) -> None:
    raw = deep(depth, kind)

    assert "1" in below(60, lambda: payload_text(letter(raw).raw, Payloads("json"), indent=2))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("kind", OPENINGS)
def test_a_field_is_set_in_a_deep_payload_or_it_is_said_why_not(depth: int, kind: str) -> None:
    edits = Edits.of([], {}, {"fixed": True})
    payloads = Payloads("json")

    try:
        data = below(60, lambda: edits.applied(letter(deep(depth, kind)), payloads, must_be_record=False))
    except ReplayError:
        assert depth > 800
    else:
        assert b'"fixed":true' in data


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("serializer", [JsonSerializer(), MsgpackSerializer()])
def test_serializers_refuse_what_is_too_deep_with_their_own_error(depth: int, serializer: Any) -> None:
    value: Any = None
    for _ in range(min(depth, 10 * sys.getrecursionlimit())):
        value = [value]
    record = {"value": value}

    try:
        assert serializer.decode(serializer.encode(record)).keys() == {"value"}
    except (EncodeError, DecodeError):
        assert depth > 300
    while value is not None:  # taken apart: C Python frees nested lists by recursion, too
        (value,) = value


@pytest.mark.parametrize("extra", ["", ', "colons": "\\":\\":"', ', "n": 2'])
@pytest.mark.parametrize("depth", DEPTHS)
def test_keys_are_counted_in_what_is_deep(depth: int, extra: str) -> None:
    try:
        JsonSerializer().decode(deep(depth, "lists", extra))
    except DecodeError:
        assert depth > 300 or '"n": 2' in extra
