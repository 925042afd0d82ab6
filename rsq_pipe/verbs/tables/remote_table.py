"""RemoteTable: the interface of lookups on a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from rsq_pipe.connectors.endpoint import AwayError
from rsq_pipe.verbs.tables.keys import Key


class UnavailableError(AwayError):
    """
    A server that is away; for how long, and whether the key may be the cause.

    Args:
        certain: Whether it is known that the key is not to blame.
        retry_after: Seconds for which the server asks to be left alone.
    """

    def __init__(self, message: str, *, certain: bool = True, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.certain = certain
        self.retry_after = retry_after


Answer: TypeAlias = dict[str, Any] | ValueError | UnavailableError
"""A row; or the error for each record with this key: its value is invalid, or it is to be asked for again."""


class RemoteTable(Protocol):
    """
    Find rows on a server.

    One instance serves one stage worker: it is never called twice at once.
    """

    async def fetch(self, keys: Sequence[Key], seconds: float) -> Mapping[Key, Answer]:
        """
        Return rows for some keys, each given once.

        Args:
            keys: The keys.
            seconds: How long a request may take.

        Returns:
            An answer for each key that is known.

        Raises:
            AwayError: The server does not answer, or cannot at the moment.
            TimeoutError: A request for all of them took longer than that.
            RefusedError: A retry does not help: a wrong password, a table that does not exist.

        Cancellation: safe at any point.
        """
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


def no_answer(seconds: float) -> str:
    """Say that a request took longer than the stage allows."""
    return f"no answer within `timeout`, {seconds:g} s"
