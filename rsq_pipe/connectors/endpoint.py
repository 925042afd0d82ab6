"""Endpoint: the system a source or sink connects to, a check whether it can be reached, and its errors."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

UNCHECKED = "not checked"
"""Reported for a connector without an `endpoint`."""


class RefusedError(Exception):
    """It refuses, and will until the user has fixed something; the message says what."""


class AwayError(Exception):
    """It does not answer, or cannot serve at the moment; a later attempt may work."""


class UnreachableError(Exception):
    """It cannot be reached or used: the message says what failed, a semicolon, and what to do."""


class Endpoint(Struct, frozen=True):
    """
    Describe what a connector connects to, for `rsq-pipe validate --connect`.

    A connector's module defines it next to `connect`:

        def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
            return Endpoint(f"bucket {options.bucket}", lambda seconds: Client(options).head(seconds))

    Args:
        target: Its name, as a user would write it; secrets are masked.
        reach: `reach(seconds)` tries it, in its own thread, and returns, or raises an error that says why it
            cannot be used: UnreachableError, or an error of the connector. It should give up after so many
            seconds; soon after that, it is no longer waited for. It changes nothing there. Its return value,
            if any, is shown after `ok`: what could not be tried.
    """

    target: str
    reach: Callable[[float], str | None]
