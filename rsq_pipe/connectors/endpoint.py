"""Endpoint: what a source or sink connects to, and a way to find out whether it can be reached."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

UNCHECKED = "not checked"
"""What is reported for a connector without an `endpoint`."""


class UnreachableError(Exception):
    """It cannot be reached or used: the message says what failed, a semicolon, and what to do."""


class Endpoint(Struct, frozen=True):
    """
    Name what a connector connects to, for `rsq-pipe validate --connect`.

    A connector's module defines it beside `connect`:

        def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
            return Endpoint(f"bucket {options.bucket}", lambda seconds: Client(options).head(seconds))

    Args:
        target: What it is, as a user would name it; secrets are masked.
        reach: `reach(seconds)` tries it, in its own thread, and returns, or raises whatever says why it
            cannot be used: UnreachableError, or an error of the connector. It should give up after so many
            seconds; soon after that, nobody waits for it any more. It changes nothing there. What it returns,
            if anything, is shown after `ok`: what could not be tried.
    """

    target: str
    reach: Callable[[float], str | None]
