"""Waits: what the calls of a verb wait for, so that it can be shown while its batch goes on."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class Waits(Protocol):
    """Calls of one stage to a system or to user code."""

    def lasting(self, now: float) -> tuple[str, float] | None:
        """Return what the stage waits for, and since when, by `time.monotonic`; None for nothing."""
        ...


@runtime_checkable
class WaitingVerb(Protocol):
    """A verb that makes calls which may last long."""

    @property
    def waits(self) -> Waits:
        """The calls."""
        ...
