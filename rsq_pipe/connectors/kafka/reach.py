"""Reach: whether a Kafka cluster lets us in, and has topics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsq_pipe.connectors.endpoint import UnreachableError
from rsq_pipe.connectors.kafka.background import Background
from rsq_pipe.connectors.kafka.cluster import AwayError, connection, partitions
from rsq_pipe.connectors.kafka.settings import Cluster


def reach_topics(settings: Cluster, topics: Sequence[str], root: Path, seconds: float) -> str:
    """
    Connect, and look for the topics; nothing is changed.

    Raises:
        RefusedError, UnreachableError: It cannot be connected to, or a topic is not there.
    """
    given = connection(settings, root) | {"request_timeout_ms": round(seconds * 1000)}
    background = Background()
    try:
        found = background.run(partitions(given, topics))
    except AwayError as exc:
        raise UnreachableError(f"{exc}; check `brokers` and `tls`, and that it runs") from exc
    finally:
        background.stop()
    for topic, parts in found.items():
        if not parts:
            raise UnreachableError(f"there is no topic {topic!r}; make it, or mend `topic`")
    return ""
