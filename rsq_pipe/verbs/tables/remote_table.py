"""RemoteTable: what a lookup asks of a server, and what can go wrong there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from rsq_pipe.verbs.tables.keys import Key

Answer: TypeAlias = dict[str, Any] | ValueError
"""A row, or what is wrong with the value under a key: the error of each record that asks for it."""


class RemoteTable(Protocol):
    """
    Find rows in a server.

    One instance serves one stage worker: it is never called twice at once.
    """

    async def fetch(self, keys: Sequence[Key]) -> Mapping[Key, Answer]:
        """
        Ask for some keys, each given once.

        Returns:
            An answer for each key that is known.

        Raises:
            UnavailableError: The server does not answer, or cannot at the moment.
            RefusedError: A retry does not help: a wrong password, a table that does not exist.

        Cancellation: safe at any point.
        """
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


class UnavailableError(Exception):
    """A server that does not answer, or cannot at the moment."""


class RefusedError(Exception):
    """A server that refuses the query, whatever the key."""
