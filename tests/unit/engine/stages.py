"""What the tests of the engine are given: stages and pipelines, made without a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rsq_pipe.spec.graph import Graph, RetryPolicy, Stage, StreamRef

POLICY = RetryPolicy(attempts=3, first=0.2, max=30.0, jitter=0.0, deliveries=5)


def stage(name: str = "price", *, verb: Any = "call", ports: tuple[str, ...] = (), **changes: Any) -> Stage:
    outputs = {port: StreamRef(f"{name}.{port}" if port else name) for port in ("", *ports)}
    plain = Stage(
        name=name,
        verb=verb,
        options=None,
        values={},
        inputs=(StreamRef("read"),),
        outputs=outputs,
        batch_size=200,
        batch_wait=0.05,
        timeout=30.0,
        retry=POLICY,
        on_error="dlq",
    )
    return replace(plain, **changes)


def source(name: str = "read") -> Stage:
    return stage(name, verb="source", inputs=())


def sink(name: str = "out", *inputs: StreamRef) -> Stage:
    return stage(name, verb="sink", inputs=inputs or (StreamRef("price"),), outputs={})


def graph(*stages: Stage) -> Graph:
    return Graph(pipeline="orders", stages=stages, root=Path(), path=Path("orders.yaml"))
