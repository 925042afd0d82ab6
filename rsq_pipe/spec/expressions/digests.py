"""Digests: ids computed from values, always the same for the same value."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from rsq_pipe.spec.expressions.bounds import deep, weighed
from rsq_pipe.spec.expressions.json_text import written
from rsq_pipe.suggestion import suggest

ALGORITHMS = ("md5", "sha1", "sha256", "sha512", "blake2b")


@deep
def digest(value: Any, algorithm: str = "sha256") -> str:
    """Return a value's SHA-256 (or `'md5'`, `'sha1'`, `'sha512'`, `'blake2b'`) in hexadecimal."""
    check_algorithm(algorithm)
    return hashlib.new(algorithm, _bytes(value), usedforsecurity=False).hexdigest()


@deep
def uuid(value: Any) -> str:
    """Return a value's UUID: always the same for the same value (version 5, namespace OID)."""
    return str(uuid5(NAMESPACE_OID, _bytes(value).decode("utf-8", "replace")))


def check_algorithm(name: str) -> None:
    """Refuse an unknown algorithm for `hash()` with a ValueError."""
    if name not in ALGORITHMS:
        raise ValueError(f"there is no algorithm {str(name)[:40]!r}; {suggest(str(name)[:40], ALGORITHMS)}")


def _bytes(value: Any) -> bytes:
    """Encode text as it is, and everything else as JSON with sorted keys."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return written(weighed(value), order="sorted")
