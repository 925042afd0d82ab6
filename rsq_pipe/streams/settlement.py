"""Settlement: what becomes of each entry of a batch, decided before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import msgpack
from msgspec import Struct, field

from rsq_pipe.model.delivery import Delivered, Delivery
from rsq_pipe.model.state import StateChange

MAX_ENTRIES = 1_000
"""Maximum input entries of one settlement, which blocks the server."""

MAX_REASONS = 20
"""How many drop reasons are counted by name for each stage; the others are counted together."""

MAX_REASON = 60
"""How many characters of a reason's name are kept."""

OTHER_REASONS = "other"
"""The name under which reasons beyond `MAX_REASONS` are counted."""


Entry = Delivery
"""One delivery of one input entry."""


class Output(NamedTuple):
    """
    Hold one entry to write.

    Args:
        stream: The key of the stream to append to.
        fields: Names and values alternately: `data`, its bytes, then headers.
    """

    stream: str
    fields: Sequence[str | bytes]


class Rows(NamedTuple):
    """
    Hold entries to write that differ only in their values, in columns: single records of a batch.

    Args:
        stream: The key of the stream to append to.
        names: The names of each entry's fields.
        values: The values of one entry after another, in the order of the names.
    """

    stream: str
    names: Sequence[str]
    values: Sequence[str | bytes]

    @property
    def size(self) -> int:
        """How many entries there are."""
        return len(self.values) // len(self.names)


def spelled_out(outputs: Iterable[Output], rows: Iterable[Rows]) -> list[Output]:
    """Return all entries one by one."""
    found = list(outputs)
    for stream, names, values in rows:
        width = len(names)
        for at in range(0, len(values), width):
            row = values[at : at + width]
            found.append(Output(stream, [*chain.from_iterable(zip(names, row, strict=True))]))
    return found


class RetryAt(NamedTuple):
    """
    Hold one record to be handled again.

    Args:
        key: The key of the retry set.
        delay: Milliseconds from now, by the server's clock.
        fields: As in an Output.
        origin: The entry it came from; two records may be equal, but their origins differ.
    """

    key: str
    delay: int
    fields: Sequence[str | bytes]
    origin: str

    @property
    def member(self) -> bytes:
        """The set's member, as msgpack so that Redis's Lua can read it."""
        member: bytes = msgpack.packb([self.origin, *self.fields], use_bin_type=False)
        return member


class Part(Struct):
    """
    Settle some entries as one: all their results are written and they are acknowledged, or nothing is.

    Args:
        entries: The inputs; all of them must still be this consumer's.
        outputs: Records for the streams below.
        retries: Records to be handled again later.
        dead: Dead letters.
        dropped: Records that end here, counted.
        notes: Entries for journals; the settlement says how many a journal keeps.
        delivered: Records that left the pipeline through a sink, counted as output.
        rows: Further records for the streams below.
    """

    entries: Sequence[Delivered] = ()
    outputs: Sequence[Output] = ()
    retries: Sequence[RetryAt] = ()
    dead: Sequence[Output] = ()
    dropped: int = 0
    delivered: int = 0
    notes: Sequence[Output] = ()
    rows: Sequence[Rows] = ()

    @property
    def adds(self) -> bool:
        """Whether it writes entries that a stage will read."""
        return bool(self.outputs or self.rows or self.dead or self.retries)

    @property
    def is_one_to_one(self) -> bool:
        """Whether one entry became one output."""
        beside = self.rows or self.notes or self.dead or self.retries or self.dropped or self.delivered
        return len(self.entries) == 1 and len(self.outputs) == 1 and not beside


class Position(Struct, frozen=True):
    """
    Move a stored position in the same step, if it still has the expected value.

    Args:
        key: The hash's key.
        field: The hash's field.
        expected: The value that must be stored; empty for none.
        new: The value to store.
    """

    key: str
    field: str
    expected: str
    new: str


class Counters(Struct, frozen=True):
    """
    Count entries and outputs, in the same step, in fields `<prefix>in|out|dropped|retried|dead` of a hash.

    Args:
        key: The hash's key.
        prefix: The prefix of the fields' names.
    """

    key: str
    prefix: str


class StateOf(NamedTuple):
    """
    Change the state of one stage.

    Args:
        key: The hash of its scalars; a bucket's key is this key, a colon and the bucket's name.
        timers: The sorted set of its timers.
        change: The checks and writes.
    """

    key: str
    timers: str
    change: StateChange

    def bucket(self, name: str) -> str:
        """Build the key of a bucket."""
        return f"{self.key}:{name}" if name else self.key


class Settlement(Struct):
    """
    State the end of one batch.

    Args:
        parts: The parts to settle together; an entry is in one part only.
        position: A position to move along with it; the settlement is then all or nothing.
        counters: Where to count the contents of the parts.
        counts: Key of a hash -> field -> the amount to add; the settlement is then all or nothing.
        drops: Key of a hash -> reason -> how many records were dropped for it; like `counts`. A hash has
            `MAX_REASONS` by name, the others under `OTHER_REASONS`. Keys that a lookup did not find are
            counted in the same way.
        kept: About how many of its latest notes a journal keeps.
        state: A change of a stage's state; the settlement is then all or nothing.
    """

    parts: list[Part] = field(default_factory=list)
    position: Position | None = None
    counters: Counters | None = None
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    drops: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    kept: int = 0
    state: StateOf | None = None

    @classmethod
    def ack(cls, entries: Iterable[Entry]) -> Settlement:
        """Acknowledge entries and write nothing."""
        return cls([Part((entry,)) for entry in entries])

    @property
    def size(self) -> int:
        """How many input entries it settles."""
        return sum(len(part.entries) for part in self.parts)


class Settled(Struct, frozen=True):
    """
    Report the result of a settlement.

    Args:
        committed: The parts that were written and acknowledged.
        fenced: The parts not written: already settled, or taken over by another consumer.
        refused: The stored position, if it was neither the expected nor the new one; nothing was written.
        gone: The entries of fenced parts that are no longer this consumer's; the others still are.
        totals: Field -> its new value, for the fields that `counts` added to.
        stale: Whether the state is no longer the one the change was based on; nothing was written.
        full: Whether the state would hold more keys than allowed; nothing was written.
    """

    committed: Sequence[Part]
    fenced: Sequence[Part] = ()
    refused: str | None = None
    gone: frozenset[tuple[str, str]] = frozenset()
    totals: Mapping[str, int] = field(default_factory=dict)
    stale: bool = False
    full: bool = False
