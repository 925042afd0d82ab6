"""Path names: finds names that no file can have, before anything looks for it."""

from __future__ import annotations

LONGEST = 255
"""Maximum bytes of one name in a path, on every usual file system."""


def check_path(path: str) -> str:
    """Return a valid path; raise ValueError otherwise."""
    if "\0" in path:
        raise ValueError("a path cannot hold a NUL character")
    for name in path.split("/"):
        size = len(name.encode(errors="surrogateescape"))
        if size > LONGEST:
            raise ValueError(f"{name[:20]!r}... has {size:,} bytes; a name in a path has {LONGEST} at most")
    return path
