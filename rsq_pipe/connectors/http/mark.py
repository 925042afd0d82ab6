"""Mark: how far a service has been read, as it is stored with what was read."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

Value: TypeAlias = str | int | float | None

MAX_SEEN = 1_000
"""Records of the highest value that are remembered, so that they do not come again."""


class Mark(msgspec.Struct, omit_defaults=True):
    """
    Say where to go on.

    Args:
        round: Which reading it is, from 1.
        page: Which page of it comes next, from 0.
        url: The address of that page, where the one before named it.
        cursor: The cursor of that page, likewise.
        count: Records that the pages before had.
        at: Records of that page that are stored already.
        digest: Of the page that `at` counts in.
        since: The highest value of the readings before; None where there is none.
        seen: Digests of the records that had that value.
        high: The highest value up to here.
        new: Digests of the records that have that.
        done: Whether the reading has ended.
    """

    round: int = 1
    page: int = 0
    url: str = ""
    cursor: str = ""
    count: int = 0
    at: int = 0
    digest: str = ""
    since: Value = None
    seen: list[str] = []
    high: Value = None
    new: list[str] = []
    done: bool = False

    @staticmethod
    def load(text: str) -> Mark:
        """Read what was stored; a first mark where nothing was."""
        return _decoder.decode(text) if text else Mark()

    def dump(self) -> str:
        """Spell it."""
        return msgspec.json.encode(self).decode()

    def note(self, value: Value, digest: str) -> bool:
        """Take note of a record; tell whether it is new: one of the highest value may have come before."""
        if value is None:
            return True
        if self.since is not None and value == self.since and digest in self.seen:
            return False
        if self.high is None or value > self.high:  # type: ignore[operator]  # mixed types are refused before
            self.high, self.new = value, []
        if value == self.high:
            self.new = [*self.new[-MAX_SEEN + 1 :], digest]
        return True

    def next_round(self) -> Mark:
        """Begin another reading, behind what this one has read."""
        if self.high is None or self.high == self.since:
            seen = [*self.seen, *self.new][-MAX_SEEN:]
            return Mark(self.round + 1, since=self.since, seen=seen, high=self.since, new=[])
        return Mark(self.round + 1, since=self.high, seen=self.new, high=self.high, new=[])


_decoder: msgspec.json.Decoder[Mark] = msgspec.json.Decoder(Mark)
