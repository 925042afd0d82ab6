"""Emptying: takes everything out of a bucket of a state, page by page."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.model.state import Page, StateReader


class Emptying:
    """
    Go through a bucket while what has been read is removed; nothing may be added during that.

    It continues where the last page ended: removals leave gaps, and scanning them again for each page would
    take longer and longer. A pass that finds nothing shows that the bucket is empty.

    Args:
        state: The state.
        bucket: Which part of it; a hash.
        size: About how many fields a page has.
    """

    def __init__(self, state: StateReader, bucket: str, size: int) -> None:
        self._state, self._bucket, self._size = state, bucket, size
        self._cursor = self._next = 0
        self._page: Mapping[bytes, bytes] = {}
        self._found_some = False

    async def page(self) -> Mapping[bytes, bytes]:
        """Read the next page; it may be empty before the end."""
        (answer,) = await self._state.ask(Page(self._bucket, self._cursor, self._size))
        self._next, self._page = answer
        return self._page

    def is_all(self, taken: Mapping[bytes, bytes]) -> bool:
        """Return whether nothing is left once this part of the page has been removed."""
        at_end = self._next == 0 and len(taken) == len(self._page)
        return at_end and not self._found_some and (self._cursor == 0 or not taken)

    def took(self, taken: Mapping[bytes, bytes]) -> None:
        """Record that this part of the page has been removed, and move on."""
        self._found_some = self._found_some or bool(taken)
        if len(taken) == len(self._page):
            self._cursor = self._next
            self._found_some = self._found_some and self._cursor != 0
