"""Mend: what to do about an error of the file system, for messages."""

from __future__ import annotations

import errno

_MENDS = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or raise the quota",
    errno.EROFS: "make its file system writable",
    errno.EACCES: "let this user write there",
    errno.EPERM: "let this user write there",
    errno.EIO: "check the disk",
    errno.ESTALE: "mount its network file system again",
}


def mend(exc: OSError) -> str:
    """Return what to do, as the end of a sentence; empty if the error itself says enough."""
    found = _MENDS.get(exc.errno or 0)
    return f"; {found}, and run again" if found else ""
