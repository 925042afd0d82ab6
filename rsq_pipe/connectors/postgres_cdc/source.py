"""Source `postgres_cdc`: each change of a table's rows, as PostgreSQL commits it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.postgres_cdc.options import Options
from rsq_pipe.connectors.source import Chunk, Source

if TYPE_CHECKING:
    from rsq_pipe.connectors.postgres_cdc.reading import Reading

__all__ = ["Options", "connect", "endpoint"]


def connect(options: Options, *, stage: str, root: Path, pipeline: str) -> PostgresCdcSource:  # noqa: ARG001  no files
    """Make the source of a stage; nothing is opened yet."""
    return PostgresCdcSource(options, pipeline=pipeline, stage=stage)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the publication as an endpoint."""

    def reach(seconds: float) -> str:
        from rsq_pipe.connectors.postgres_cdc.first_look import reach  # noqa: PLC0415  an extra

        return reach(options, seconds)

    return Endpoint(f"postgres publication {options.publication}", reach)


class PostgresCdcSource:
    """Yield the existing rows of the tables, and then each change, in the order of the commits."""

    resumable = True

    def __init__(self, options: Options, *, pipeline: str, stage: str) -> None:
        self._options = options
        self._pipeline = pipeline
        self._stage = stage
        self._reading: Reading | None = None

    def preview(self) -> Source:
        """Return a source of the existing rows of the tables: it creates no slot."""
        from rsq_pipe.connectors.postgres_cdc.first_look import FirstRows  # noqa: PLC0415  an extra

        return FirstRows(self._options, self._stage)

    def shards(self) -> Sequence[str]:
        """Name the slot."""
        return [self._options.slot]

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:  # noqa: ARG002  there is one
        """
        Yield the records after `position`.

        Raises:
            SourceError: The server refuses, or no longer has these changes.
        """
        from rsq_pipe.connectors.postgres_cdc.reading import Reading  # noqa: PLC0415  an extra

        reading = self._reading = Reading(self._options, pipeline=self._pipeline, stage=self._stage)
        return reading.read(position, size)

    def close(self) -> None:
        """Report the stored position to the server, and release the slot."""
        if self._reading is not None:
            self._reading.close()
