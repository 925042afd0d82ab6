"""Delivery: one entry of an input stream, as it was delivered to this worker."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Delivered(Protocol):
    """Define the attributes of every kind of delivery; see Delivery."""

    @property
    def stream(self) -> str:
        """The stream's key."""
        ...

    @property
    def id(self) -> str:
        """The entry id."""
        ...

    @property
    def deliveries(self) -> int:
        """How often it has been delivered."""
        ...


class Delivery(NamedTuple):
    """
    Name one delivery of one input entry.

    Args:
        stream: The stream's key.
        id: The entry id.
        deliveries: Redis's delivery count when the entry was delivered; 0 to accept any.
    """

    stream: str
    id: str
    deliveries: int = 0
