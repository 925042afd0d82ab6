"""Source `kafka`: the messages of topics, each partition from a position stored with its records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.kafka.settings import ReadOptions as Options

if TYPE_CHECKING:
    from rsq_pipe.connectors.kafka.reading import KafkaSource


def connect(options: Options, *, stage: str, root: Path) -> KafkaSource:
    """Make the source of a stage; nothing is opened yet."""
    from rsq_pipe.connectors.kafka.reading import KafkaSource  # noqa: PLC0415  an extra

    return KafkaSource(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the topics as an endpoint."""

    def reach(seconds: float) -> str:
        from rsq_pipe.connectors.kafka.cluster import reach_topics  # noqa: PLC0415  an extra

        return reach_topics(options, options.topic, root, seconds)

    topics = "topic" if len(options.topic) == 1 else "topics"
    return Endpoint(f"kafka {topics} {', '.join(options.topic)}", reach)


__all__ = ["Options", "connect", "endpoint"]
