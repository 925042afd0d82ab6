"""Source `kafka`: the messages of topics, each partition from a position that is stored with its records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.kafka.read_options import ReadOptions as Options

if TYPE_CHECKING:
    from rsq_pipe.connectors.kafka.reading import KafkaSource


def connect(options: Options, *, stage: str, root: Path) -> KafkaSource:
    """Make the source of a stage; nothing is opened yet."""
    from rsq_pipe.connectors.kafka.reading import KafkaSource  # noqa: PLC0415  an extra

    return KafkaSource(options, stage=stage, root=root)


__all__ = ["Options", "connect"]
