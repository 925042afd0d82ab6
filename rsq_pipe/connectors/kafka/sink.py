"""Sink `kafka`: messages of a topic, each record once for readers of committed messages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.kafka.settings import WriteOptions as Options

if TYPE_CHECKING:
    from rsq_pipe.connectors.kafka.writing import KafkaSink


def connect(options: Options, *, stage: str, root: Path, pipeline: str, ledger: str) -> KafkaSink:
    """Make the sink of a stage; nothing is opened yet."""
    from rsq_pipe.connectors.kafka.writing import KafkaSink  # noqa: PLC0415  an extra

    return KafkaSink(options, stage=stage, root=root, pipeline=pipeline, ledger=ledger)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the topic as an endpoint."""

    def reach(seconds: float) -> str:
        from rsq_pipe.connectors.kafka.cluster import reach_topics  # noqa: PLC0415  an extra

        return reach_topics(options, (options.topic,), root, seconds)

    return Endpoint(f"kafka topic {options.topic}", reach)


__all__ = ["Options", "connect", "endpoint"]
