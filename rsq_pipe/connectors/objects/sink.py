"""Sink `objects`: parts in a bucket of S3, Google Cloud Storage or Azure, each made once, for good."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.objects.bucket import reachable
from rsq_pipe.connectors.objects.formats import Writing, format_of
from rsq_pipe.connectors.objects.naming import Naming
from rsq_pipe.connectors.objects.object_parts import ObjectParts
from rsq_pipe.connectors.objects.partitioned_parts import PartitionedParts
from rsq_pipe.connectors.objects.settings import Address
from rsq_pipe.connectors.objects.write_options import WriteOptions as Options

__all__ = ["Options", "connect", "endpoint"]


def parts_of(options: Options) -> Writing:
    """Return the encoder of a sink's parts."""
    written = options.format or format_of(options.url)
    return Writing(written, Address.of(options.url).path, rid=options.rid)


def connect(options: Options, *, stage: str, root: Path) -> ObjectParts | PartitionedParts:  # noqa: ARG001  as all sinks
    """Make the sink of a stage; nothing is opened yet."""
    parts = PartitionedParts if options.partition_by else ObjectParts
    return parts(options, parts_of(options), stage=stage)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the bucket as an endpoint that is only read."""
    return reachable(options, Naming(Address.of(options.url).path, options.partition_by).prefix)
