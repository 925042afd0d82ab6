"""Targets: what a file sink writes to, by its settings: one file, or parts."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.connectors.files.file_target import FileTarget
from rsq_pipe.connectors.files.parts_target import PartsTarget
from rsq_pipe.connectors.files.write_settings import FileOptions


def target(options: FileOptions, *, stage: str, root: Path) -> FileTarget | PartsTarget:
    """Make what a sink writes to; nothing is opened yet."""
    if options.rotate is None:
        return FileTarget(options, stage=stage, root=root)
    return PartsTarget(options, options.rotate, stage=stage, root=root)
