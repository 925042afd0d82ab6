"""FileSource: what sources do alike that read files, in whatever format."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.connectors.files.files import Files


class FileSource:
    """
    Name files, and those that grow; a format has `read`.

    Args:
        files: Which are read.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.endless = files.endless
        self.resumable = not files.from_stdin

    def shards(self) -> Sequence[str]:
        """Name the files, sorted."""
        return self._files.shards()

    def changed(self) -> Sequence[str]:
        """Name the files that have something new."""
        return self._files.changed()

    def share(self) -> float | None:
        """Tell how much of the files has been read."""
        return self._files.amount.share()
