"""What a source brings is entered under its id, with headers that are not the system's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rsq_pipe.runtime.source_pump import SourcePump
from rsq_pipe.sources.jsonl import Options
from rsq_pipe.sources.source import Arrival
from rsq_pipe.spec.graph import ConnectorRef
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.telemetry.observer import headers_of
from tests.unit.runtime.given import graph, source


async def test_an_arrival_with_a_header_of_the_systems_is_a_dead_letter(tmp_path: Path) -> None:
    read = replace(source(), options=ConnectorRef("source", "jsonl", Options(path=("in.jsonl",))))
    pump = SourcePump(StreamClient.from_url("redis://127.0.0.1:1"), graph(read), read)
    came = [(("colour", "red"),), (("rsq-rid", "mine"),), (("data", "x"),)]

    outputs, dead = pump._entries([Arrival(f"in:{n}", {"n": n}, headers=h) for n, h in enumerate(came)])

    assert [headers_of(output.fields) for output in outputs] == [{"rsq-rid": "read:in:0", "colour": "red"}]
    assert [headers_of(letter.fields)["rsq-rid"] for letter in dead] == ["read:in:1", "read:in:2"]
    assert "'rsq-rid'" in headers_of(dead[0].fields)["rsq-dlq-error"]
