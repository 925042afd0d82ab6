"""Source `objects`: the records of objects in S3, Google Cloud Storage or Azure."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.objects.bucket import reachable
from rsq_pipe.connectors.objects.naming import Pattern
from rsq_pipe.connectors.objects.object_reader import ObjectReader
from rsq_pipe.connectors.objects.read_options import ReadOptions as Options
from rsq_pipe.connectors.objects.settings import Address

__all__ = ["Options", "connect", "endpoint"]


def connect(options: Options, *, stage: str, root: Path) -> ObjectReader:  # noqa: ARG001  as all sources
    """Make the source of a stage; nothing is opened yet."""
    return ObjectReader(options, stage=stage)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the bucket as an endpoint that is only read."""
    return reachable(options, Pattern(Address.of(options.url).path).prefix)
