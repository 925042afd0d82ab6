"""RemoteTable: the interface of lookups on a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from rsq_pipe.verbs.tables.keys import Key

Answer: TypeAlias = dict[str, Any] | ValueError
"""A row, or the error for each record with this key: its value is invalid."""


class RemoteTable(Protocol):
    """
    Find rows on a server.

    One instance serves one stage worker: it is never called twice at once.
    """

    async def fetch(self, keys: Sequence[Key]) -> Mapping[Key, Answer]:
        """
        Return rows for some keys, each given once.

        Returns:
            An answer for each key that is known.

        Raises:
            AwayError: The server does not answer, or cannot at the moment.
            RefusedError: A retry does not help: a wrong password, a table that does not exist.

        Cancellation: safe at any point.
        """
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...
