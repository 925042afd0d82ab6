"""Emptying: takes what a bucket of a state holds out of it, page by page."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.model.state import Page, StateReader


class Emptying:
    """
    Go through a bucket while what has been read is taken out of it; nothing may be added meanwhile.

    It goes on where the last page ended: what has been taken out leaves gaps, and to go over these for each
    page would take longer and longer. A pass that finds nothing shows that all is out.

    Args:
        state: The state.
        bucket: Which part of it; a hash.
        size: Fields of one page, about.
    """

    def __init__(self, state: StateReader, bucket: str, size: int) -> None:
        self._state, self._bucket, self._size = state, bucket, size
        self._cursor = self._next = 0
        self._page: Mapping[bytes, bytes] = {}
        self._found_some = False

    async def page(self) -> Mapping[bytes, bytes]:
        """Read the next page; empty now and then before the end."""
        (answer,) = await self._state.ask(Page(self._bucket, self._cursor, self._size))
        self._next, self._page = answer
        return self._page

    def is_all(self, taken: Mapping[bytes, bytes]) -> bool:
        """Tell whether nothing is left once this part of the page has been taken out."""
        at_end = self._next == 0 and len(taken) == len(self._page)
        return at_end and not self._found_some and (self._cursor == 0 or not taken)

    def took(self, taken: Mapping[bytes, bytes]) -> None:
        """State that this part of the page has been taken out, and go on."""
        self._found_some = self._found_some or bool(taken)
        if len(taken) == len(self._page):
            self._cursor = self._next
            self._found_some = self._found_some and self._cursor != 0
