"""Limited: a source of which only some records are read, to try out a pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsq_pipe.connectors.source import Chunk, ClosableSource, Source


class Limited:
    """
    Read a source up to a number of records; invalid records count as well.

    Args:
        source: The source.
        most: Maximum number of records.
    """

    def __init__(self, source: Source, most: int) -> None:
        self._source = source
        self._left = most
        self.resumable = source.resumable

    @property
    def is_reached(self) -> bool:
        """Whether the limit has been reached."""
        return self._left <= 0

    def entered(self, records: int) -> None:
        """Count records that are in the pipeline, not only read."""
        self._left -= records

    def shards(self) -> Sequence[str]:
        """Name the source's shards."""
        return self._source.shards()

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """Yield what follows `position`, up to the number of records left at the call."""
        left = self._left
        if not self.resumable:
            size = 1  # it cannot be restarted with smaller chunks
        while left > 0:
            most = min(size, left)
            for chunk in self._source.read(shard, position, most):
                position = chunk.position
                left -= len(chunk)
                yield chunk
                if left < most:
                    break
            else:
                return

    def close(self) -> None:
        """Close the source if it can be closed."""
        if isinstance(self._source, ClosableSource):
            self._source.close()
