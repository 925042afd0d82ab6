"""join: pairs records of two inputs with the same key; waiting records are the stage's state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct, field

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.model.state import SCALARS, VERSION, Fields, Now, StateChange, StateReader
from rsq_pipe.model.waiting import MET, Waiting, read, written
from rsq_pipe.spec.stages.join import SIDES, Joining
from rsq_pipe.streams.headers import INPUT
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.verbs.failed import expression_failure
from rsq_pipe.verbs.members import match_maker
from rsq_pipe.verbs.verb import PlainVerb
from rsq_pipe.verbs.windows.buckets import Buckets, listed, spelled
from rsq_pipe.verbs.windows.pairing import LETTERS, Keyed, Pairing, Pairs, Shape, keyed
from rsq_pipe.verbs.windows.window_state import CLOSED

BUCKETS = "buckets"
"""The scalar that names the buckets with waiting records."""

CAREFUL = 100
"""Number of batches for which a worker assumes that others change the state, after one of them has."""

SHORT = 4_096
"""Up to this many bytes per field, waiting records are rewritten together with the added ones."""


class _Seen(Struct):
    """
    Hold the waiting records that were read.

    Args:
        now: The server's clock.
        closed, named, version: The three scalars, as they are stored.
        live: The buckets with waiting records, ascending.
        values: Field -> bucket -> the stored records; absent if there are none.
    """

    now: int
    closed: bytes | None
    named: bytes | None
    version: bytes | None
    live: list[int]
    values: dict[bytes, dict[int, bytes]] = field(default_factory=dict)
    _read: dict[bytes, list[Waiting]] = field(default_factory=dict)

    def waiting(self, name: bytes) -> Sequence[Waiting]:
        values = self.values.get(name)
        if values is None:  # nearly always
            return ()
        found = self._read.get(name)
        if found is None:
            found = [one for bucket in sorted(values) for one in read(values[bucket])]
            self._read[name] = found
        return found


class _Made(Struct):
    """
    Hold a change of the state that was made.

    Args:
        change: The change.
        version: The version it is based on.
        is_alone: Whether no other worker changes the state, and the change begins no bucket.
    """

    change: StateChange
    version: int
    is_alone: bool = False

    def added_to(self, seen: _Seen, wanted: Collection[bytes]) -> bool:
        """Add its writes to a reading of the state that lacks them; False if others changed the state."""
        version = int(seen.version or 0)
        if version != self.version:
            return version == self.version + 1
        seen.version = b"%d" % (version + 1)
        names = {*wanted}
        for op in self.change.writes:
            fields: dict[Any, Any] = dict(zip(op.words[::2], op.words[1::2], strict=True))
            for name in fields.keys() & names:
                values = seen.values.setdefault(name, {})
                before = values.get(int(op.bucket), b"") if op.kind == "append" else b""
                values[int(op.bucket)] = before + fields[name]
        return True


class Join(PlainVerb):
    """
    Join the records of two inputs; any number of workers share the state.

    Each record is paired with those of the other side that wait for it, and then waits itself. Two that
    arrive at two workers at the same time cannot miss each other: the settlement checks that nothing has
    been added to the state since it was read; otherwise the batch is processed again. A worker that finds
    the state as its own last settlement left it is the only writer, and checks only that this is still so.

    Args:
        stage: For messages.
        joining: The join's options.
        state: Reads the waiting records.
        streams: Key of an input stream -> 0 for the left one and 1 for the right.
        ports: The sides whose unmatched records a stage reads.
        form: The serializer of waiting records.
    """

    pure: ClassVar[bool] = False
    changed: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        stage: str,
        joining: Joining,
        state: StateReader,
        *,
        streams: Mapping[str, int],
        ports: Collection[str],
        form: Serializer,
    ) -> None:
        self._stage = stage
        self._streams = streams
        self._state = state
        self._buckets = Buckets(None if joining.within is None else round(joining.within * 1000))
        self._most = joining.max_keys
        self._keys = [match_maker(joining.left), match_maker(joining.right)]
        self._live: list[int] = []
        self._last = _Made(StateChange(), -2)  # none: like any change that did not lead to the current state
        self._careful = 0
        self._refused = state.refused
        self._assumed: _Made | None = None
        self._form = form
        self.shape = Shape(stage, joining, ports)

    @property
    def looks_ahead(self) -> bool:
        """Only if no other worker changes the state, and no bucket has just been begun."""
        return self._assumed is None or self._assumed.is_alone

    def assume(self, change: StateChange | None) -> None:
        """Assume that the records written by a change are waiting."""
        known = self._last if self._last.change is change else None
        self._assumed = None if change is None else known or _Made(change, 0)

    async def process(self, batch: Batch) -> Outcomes:
        """
        Handle one batch, after one read of the waiting records.

        Raises:
            StreamError: From the server.

        Cancellation: safe; nothing has been written.
        """
        keys, failed = self._keyed(batch)
        wanted = list(dict.fromkeys(name for one in keys.values() for name in one[1:] if name))
        seen = await self._look(wanted)
        if self._assumed is not None and not self._assumed.added_to(seen, wanted):
            self._state.refused += 1  # others change the state: it is read again after their settlement
            return Outcomes()
        pairing = Pairing(self._stage, self.shape, batch, self._form)
        pairs = pairing.made(keys, seen.waiting, failed)
        if pairs.new:
            is_alone = self._is_alone(seen)
            pairs.outcomes.state = change = self._change(pairs, seen, is_alone=is_alone)
            is_alone = is_alone and all(op.bucket for op in change.writes)  # and no bucket was begun
            self._last = _Made(change, int(seen.version or 0), is_alone=is_alone)
        return pairs.outcomes

    def _keyed(self, batch: Batch) -> tuple[dict[int, Keyed], dict[int, Any]]:
        """Determine the side and fields of each record, or why it has no key."""
        keys: dict[int, Keyed] = {}
        failed: dict[int, Any] = {}
        sides = [self._streams.get(delivery.stream) for delivery in batch.deliveries]
        for place, record in enumerate(batch.records):
            side = sides[batch.origins[place]]
            if side is None:  # it has been here before
                side = SIDES.index(batch.headers_at(place).get(INPUT, SIDES[0]))
            try:
                keys[place] = keyed(side, self._keys[side](record))
            except Exception as exc:  # noqa: BLE001 - an expression can raise whatever Python can
                failed[place] = expression_failure(exc, self._stage, f"the key of the {SIDES[side]} side")
        return keys, failed

    async def _look(self, wanted: Sequence[bytes]) -> _Seen:
        """Read the waiting records; once more if buckets have been created or closed since."""
        while True:
            live = self._live if wanted else []
            asked = [Fields(wanted, str(bucket)) for bucket in live]
            now, (closed, named, version), *found = await self._state.ask(
                Now(), Fields([CLOSED, BUCKETS, VERSION]), *asked
            )
            self._live = [one for one in listed(named) if self._buckets.due(one) > int(closed or 0)]
            if live == self._live or not wanted:
                break
        seen = _Seen(now, closed, named, version, live)
        for bucket, values in zip(live, found, strict=True):
            for name, value in zip(wanted, values, strict=True):
                if value is not None:
                    seen.values.setdefault(name, {})[bucket] = value
        return seen

    def _change(self, pairs: Pairs, seen: _Seen, *, is_alone: bool) -> StateChange:
        change = StateChange(most=self._most)
        change.equals(SCALARS, {CLOSED: seen.closed, BUCKETS: seen.named})
        if is_alone:
            change.equals(SCALARS, {VERSION: seen.version})
        else:
            self._check(change, pairs, seen)
        bucket = self._buckets.current(seen.now, int(seen.closed or 0))
        bucket = max([bucket, *seen.live[-1:]])  # a clock may have been set back
        if bucket not in seen.live:
            change.set(SCALARS, {BUCKETS: spelled([*seen.live, bucket])})
            change.timer({str(bucket): self._buckets.due(bucket)})
        for other, added in self._added(pairs, seen, bucket).items():
            put, more = _whole(added, other, seen) if is_alone else ({}, added)
            change.set(str(other), put)
            change.append(str(other), more)
        return change

    def _is_alone(self, seen: _Seen) -> bool:
        """Return whether no other worker is known to change the state."""
        if self._state.refused != self._refused:
            self._refused, self._careful = self._state.refused, CAREFUL
        self._careful = max(0, self._careful - 1)
        return not self._careful and int(seen.version or 0) == self._last.version + 1

    @staticmethod
    def _check(change: StateChange, pairs: Pairs, seen: _Seen) -> None:
        across = [LETTERS[1 - LETTERS.index(name[:1])] + name[1:] for name in pairs.new]
        for other in seen.live:
            change.lengths(
                str(other), {name: len(seen.values.get(name, {}).get(other, b"")) for name in across}
            )

    @staticmethod
    def _added(pairs: Pairs, seen: _Seen, bucket: int) -> dict[int, dict[str | bytes, bytes]]:
        """List the records added to the waiting ones, by bucket and field."""
        added: dict[int, dict[str | bytes, bytes]] = {
            bucket: {name: written(new) for name, new in pairs.new.items()}
        }
        for name in pairs.met:
            values = seen.values[name]
            if all(one.met for one in seen.waiting(name)):
                continue
            for other, value in values.items():
                if len(values) == 1 or not all(one.met for one in read(value)):
                    fields = added.setdefault(other, {})
                    # Before the new records: the mark applies to those before it.
                    fields[name] = MET + fields.get(name, b"")
        return added


def _whole(
    added: Mapping[str | bytes, bytes], bucket: int, seen: _Seen
) -> tuple[dict[str | bytes, bytes], dict[str | bytes, bytes]]:
    """Return short values in full, with the added records, and for the others only the added ones."""
    put: dict[str | bytes, bytes] = {}
    long: dict[str | bytes, bytes] = {}
    held: Mapping[Any, Mapping[int, bytes]] = seen.values
    for name, more in added.items():
        values = held.get(name)
        before = b"" if values is None else values.get(bucket, b"")
        if len(before) > SHORT:
            long[name] = more
        else:
            put[name] = before + more
    return put, long
