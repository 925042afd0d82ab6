"""FileSink: the common part of all sinks that write to files, in any format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from rsq_pipe.connectors.files.file_target import FileTarget
from rsq_pipe.connectors.files.held_file import HeldFile
from rsq_pipe.connectors.files.parts_target import PartsTarget
from rsq_pipe.connectors.files.write_settings import FileOptions


class FileSink:
    """
    Append to a file, or to parts, each record once. A format adds `write`, which returns the position.

    Args:
        file: The file or the parts.
    """

    guarantee: ClassVar[Literal["exactly-once", "at-least-once"]] = "exactly-once"
    exclusive: ClassVar[bool] = True

    def __init__(self, file: FileTarget | PartsTarget) -> None:
        self._file = file
        self.target = file.name
        self.most = file.most

    def open(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> str:
        """Become the writer, and cut off what follows `position`."""
        self._file.open(position, fresh=fresh, still=still)
        return self._file.position()

    def stored(self) -> None:
        """Note that everything written is acknowledged."""
        self._file.stored()

    def held(self, position: str) -> HeldFile:
        """Compare the file, or the part being written, with a stored position."""
        return self._file.held(position)

    def close(self) -> None:
        """Release the file; finish the last part."""
        self._file.close()


def target(options: FileOptions, *, stage: str, root: Path) -> FileTarget | PartsTarget:
    """Make a sink's target from its settings: one file, or parts; nothing is opened yet."""
    if options.rotate is None:
        return FileTarget(options, stage=stage, root=root)
    return PartsTarget(options, options.rotate, stage=stage, root=root)
