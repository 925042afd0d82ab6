"""Mark: how far a service has been read, as stored with the records."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

Value: TypeAlias = str | int | float | None

MAX_SEEN = 1_000
"""Maximum number of records of the highest value that are remembered, so that they are not read twice."""


class Mark(msgspec.Struct, omit_defaults=True):
    """
    Define where to continue.

    Args:
        round: The number of the reading, from 1.
        page: The number of the next page, from 0.
        url: The address of that page, if the previous one named it.
        cursor: The cursor of that page, if the previous one named it.
        count: How many records the previous pages had.
        at: How many records of that page are already stored.
        digest: The digest of the page that `at` refers to.
        since: The highest value of the previous readings; None if there is none.
        seen: Digests of the records that had that value.
        high: The highest value so far.
        new: Digests of the records that have that value.
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
        """Parse a stored mark; return a first mark for an empty text."""
        return _decoder.decode(text) if text else Mark()

    def dump(self) -> str:
        """Return it in the stored form."""
        return msgspec.json.encode(self).decode()

    def note(self, value: Value, digest: str) -> bool:
        """Add a record; return whether it is new: one with the highest value may be known."""
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
        """Begin another reading, for records after this one's."""
        if self.high is None or self.high == self.since:
            seen = [*self.seen, *self.new][-MAX_SEEN:]
            return Mark(self.round + 1, since=self.since, seen=seen, high=self.since, new=[])
        return Mark(self.round + 1, since=self.high, seen=self.new, high=self.high, new=[])


_decoder: msgspec.json.Decoder[Mark] = msgspec.json.Decoder(Mark)
