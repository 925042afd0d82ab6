"""State: what a stage stores between batches, how it is queried, and how a batch changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from msgspec import Struct, field

SCALARS = ""
"""The bucket of a stage's single values, such as the number of keys and the latest time."""

KEYS = "keys"
"""The scalar that counts the keys in the buckets; settlements keep it up to date."""

EVICTED = "evicted"
"""The scalar that counts the evicted keys; settlements keep it up to date."""

VERSION = "version"
"""The scalar that counts settlements that changed the state. If it has not changed, nothing has."""

CheckKind = Literal["equals", "absent", "lacks", "lengths"]
WriteKind = Literal[
    "set", "delete", "add", "append", "merge", "raise", "count", "timer", "forget", "unlink", "evict"
]

Value: TypeAlias = str | bytes | int


class Op(NamedTuple):
    """
    Hold one check of a stage's state, or one write to it.

    Args:
        kind: The kind of check or write; see the methods of StateChange.
        bucket: The part of the state.
        words: Fields, values or members, as the kind requires.
        extra: A further argument that the kind requires.
    """

    kind: CheckKind | WriteKind
    bucket: str
    words: Sequence[Value] = ()
    extra: str = ""


class StateChange(Struct):
    """
    Describe how a batch changes its stage's state: if every check holds, all is written; otherwise nothing.

    A bucket is a hash or a set. Each non-empty one is listed in the timers, with the time when it is due;
    that list is how buckets are found.

    Args:
        checks: The state that the verb based its decision on; if it has changed, the batch is processed
            again.
        writes: The writes if it has not changed; each field once.
        most: Maximum number of keys in all buckets; beyond that, keys are refused. 0 for no limit.
    """

    checks: list[Op] = field(default_factory=list)
    writes: list[Op] = field(default_factory=list)
    most: int = 0

    @property
    def size(self) -> int:
        """Approximate bytes that it writes; members of sets are short, and not counted."""
        sized = (op.words for op in self.writes if op.kind in {"set", "append", "merge"})
        return sum(len(word) for words in sized for word in words if not isinstance(word, int))

    # Checks

    def equals(self, bucket: str, values: Mapping[str | bytes, Value | None]) -> None:
        """Require that fields of a hash hold these values; None: the field does not exist."""
        there = [word for pair in values.items() if pair[1] is not None for word in pair]
        missing = [name for name, value in values.items() if value is None]
        if there:
            self.checks.append(Op("equals", bucket, there))  # type: ignore[arg-type]  # None was left out
        if missing:
            self.checks.append(Op("absent", bucket, missing))

    def lacks(self, bucket: str, members: Sequence[str | bytes]) -> None:
        """Require that none of these is a member of a set."""
        if members:
            self.checks.append(Op("lacks", bucket, members))

    def lengths(self, bucket: str, lengths: Mapping[str | bytes, int]) -> None:
        """Require these lengths in bytes of a hash's fields, 0 if absent: enough if values only grow."""
        if lengths:
            self.checks.append(Op("lengths", bucket, _flat(lengths)))

    # Writes

    def set(self, bucket: str, values: Mapping[str | bytes, Value]) -> None:
        """Set fields of a hash."""
        self._write("set", bucket, _flat(values))

    def delete(self, bucket: str, fields: Sequence[str | bytes]) -> None:
        """Delete fields of a hash."""
        self._write("delete", bucket, fields)

    def add(self, bucket: str, members: Sequence[str | bytes]) -> None:
        """Add members to a set."""
        self._write("add", bucket, members)

    def append(self, bucket: str, values: Mapping[str | bytes, bytes]) -> None:
        """Append bytes to fields of a hash."""
        self._write("append", bucket, _flat(values))

    def merge(self, bucket: str, kinds: str, partials: Mapping[str | bytes, bytes]) -> None:
        """Merge partial results into fields of a hash by their kinds, as `merge.lua` does."""
        self._write("merge", bucket, _flat(partials), kinds)

    def rise(self, values: Mapping[str, int | float]) -> None:
        """Set scalars to these numbers if they hold none or a lower one."""
        self._write("raise", SCALARS, [word for name, value in values.items() for word in (name, str(value))])

    def count(self, amounts: Mapping[str, int]) -> None:
        """Add to scalars."""
        self._write("count", SCALARS, _flat(amounts))

    def timer(self, due: Mapping[str, int | float], *, only: Literal["", "NX", "GT", "LT"] = "") -> None:
        """Set when buckets, or other things with a time, are due, in milliseconds; inf for never."""
        words = [word for name, at in due.items() for word in (str(at), name)]
        self._write("timer", SCALARS, words, only)

    def forget(self, names: Sequence[str]) -> None:
        """Remove names from the timers."""
        self._write("forget", SCALARS, names)

    def unlink(self, bucket: str, *, evicted: bool = False) -> None:
        """Delete a whole bucket with its timer; `evicted` counts its keys as evicted to make room."""
        self.writes.append(Op("evict" if evicted else "unlink", bucket))

    def _write(self, kind: WriteKind, bucket: str, words: Sequence[Value], extra: str = "") -> None:
        if words:
            self.writes.append(Op(kind, bucket, words, extra))


def _flat(values: Mapping[str | bytes, Value] | Mapping[str, int]) -> list[Value]:
    return [word for pair in values.items() for word in pair]


class Now(NamedTuple):
    """Ask for the server's clock; the answer is milliseconds since 1970."""


class Fields(NamedTuple):
    """Ask for fields of a hash; the answer is a list of bytes, None for fields that do not exist."""

    fields: Sequence[str | bytes]
    bucket: str = SCALARS


class Members(NamedTuple):
    """Ask which of these are members of a set; the answer is a list of bool."""

    bucket: str
    members: Sequence[str | bytes]


class Known(NamedTuple):
    """Ask which of these are members of any of these sets; the answer is a list of their places."""

    buckets: Sequence[str]
    members: Sequence[str | bytes]


class Page(NamedTuple):
    """Ask for a page of a hash; the answer is the next page's cursor, 0 at the end, and a dict of bytes."""

    bucket: str
    cursor: int = 0
    size: int = 200


class Timers(NamedTuple):
    """Ask for timers due by a time, earliest first; the answer is a dict of name -> milliseconds."""

    until: float = float("inf")
    most: int = 1_000


Question: TypeAlias = Now | Fields | Members | Known | Page | Timers


class StateReader(Protocol):
    """
    Let a verb read its state without knowing any server.

    Attributes:
        refused: How many changes were not written because the state they were based on had changed.
    """

    refused: int

    async def ask(self, *questions: Question) -> list[Any]:
        """
        Ask several questions at once, in one round trip.

        Returns:
            An answer to each, all of the same moment.

        Raises:
            StreamError: From the server.

        Cancellation: safe.
        """
        ...


def decoded(values: Iterable[bytes | None]) -> list[str]:
    """Read scalars as text, empty for those that do not exist."""
    return ["" if value is None else value.decode() for value in values]
