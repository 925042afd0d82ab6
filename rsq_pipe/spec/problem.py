"""Problem: one mistake in a pipeline file, with its place and its fix."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Severity = Literal["error", "warning"]


class Problem(Struct, frozen=True, order=True):
    """
    Describe one mistake.

    Args:
        file: The pipeline file, as given by the user.
        line: From 1.
        column: From 1.
        path: The path in the spec: `stages.price.map.total`; empty for the whole file.
        what: What is wrong, and with what.
        fix: What to do about it.
        severity: A warning does not stop a pipeline.
    """

    file: str
    line: int
    column: int
    path: str
    what: str
    fix: str
    severity: Severity = "error"

    def __str__(self) -> str:
        path = f"{self.path}: " if self.path else ""
        label = "warning: " if self.severity == "warning" else ""
        fix = f"; {self.fix}" if self.fix else ""
        return " ".join(f"{self.file}:{self.line}:{self.column}: {label}{path}{self.what}{fix}".split())
