"""Endpoints of files: checks whether they can be read or written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rsq_pipe.connectors.endpoint import Endpoint, UnreachableError
from rsq_pipe.connectors.files.files import Files
from rsq_pipe.units import counted

FULL = "the disk is full, or the file larger than it may be; make room, and run again"
"""Why a database file cannot be written any more."""


def readable(paths: Sequence[str], *, stage: str, root: Path, watch: bool = False) -> Endpoint:
    """Return a source's files as endpoint: each can be opened, and some exist, unless they may come later."""

    def reach(seconds: float) -> str:  # noqa: ARG001  a file does not answer late
        files = Files(paths, root=root, stage=stage, max_line=1, final=None, watch=watch)
        if files.from_stdin:
            return ""
        found = [files.path(shard) for shard in files.shards()]
        for path in found:
            try:
                with path.open("rb"):
                    pass
            except OSError as exc:
                raise UnreachableError(f"{path} cannot be read: {exc.strerror}; check its rights") from exc
        return counted(len(found), "file")

    return Endpoint("standard input" if list(paths) == ["-"] else f"file {', '.join(paths)}", reach)


def writable(path: str, *, root: Path) -> Endpoint:
    """Return a sink's file as an endpoint: it can be written or created."""
    return Endpoint(f"file {path}", lambda _: check_writable(root / path))


def check_writable(path: Path) -> None:
    """
    Check whether a file can be written, without creating it or a folder.

    Raises:
        UnreachableError: It cannot be written.
    """
    try:
        is_there = path.exists()
    except PermissionError as exc:
        raise UnreachableError(f"the folder {path.parent} may not be read; check its rights") from exc
    if is_there:
        if path.is_dir():
            raise UnreachableError("it is a folder; name a file in it")
        if not os.access(path, os.W_OK):
            raise UnreachableError("it may not be written; check its rights")
        return
    folder = next(above for above in path.parents if above.exists())
    if not folder.is_dir():
        raise UnreachableError(f"{folder} is not a folder; move it, or name another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UnreachableError(f"no file may be created in the folder {folder}; check its rights")


def make_folder(path: Path) -> None:
    """
    Create the folder of a file that is to be written, if it does not exist.

    Raises:
        UnreachableError: The file cannot be written, or the folder cannot be created.
    """
    check_writable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        why = exc.strerror or exc
        raise UnreachableError(f"its folder cannot be created: {why}; make it, or name another") from exc
