"""StateInMemory: a stage's state during a test, without a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rsq_pipe.model import partials
from rsq_pipe.model.partials import merged_sessions
from rsq_pipe.model.state import (
    EVICTED,
    KEYS,
    SCALARS,
    VERSION,
    Fields,
    Known,
    Members,
    Now,
    Op,
    Page,
    Question,
    StateChange,
    Timers,
    Value,
)

_LETTERS = {kind.letter: name for name, kind in partials.KINDS.items()}


class StateInMemory:
    """
    Answer a verb's questions, and change like the state on a server in a settlement.

    Args:
        clock: Returns milliseconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = lambda: time.time() * 1000) -> None:
        self.clock = clock
        self.hashes: dict[str, dict[bytes, bytes]] = {}
        self.sets: dict[str, set[bytes]] = {}
        self.timers: dict[str, float] = {}
        self.refused = 0

    async def ask(self, *questions: Question) -> list[Any]:
        """Answer several questions about the same moment."""
        return [self._answer(question) for question in questions]

    def settle(self, change: StateChange) -> str:
        """Check, and write all or nothing; return why nothing was written, `stale` or `full`, else empty."""
        if not all(self._holds(op) for op in change.checks):
            self.refused += 1
            return "stale"
        held = self._number(KEYS)
        before = {name: dict(fields) for name, fields in self.hashes.items()}
        kept = {name: set(members) for name, members in self.sets.items()}, dict(self.timers)
        for op in change.writes:
            self._write(op)
        if change.most and self._number(KEYS) > max(change.most, held):
            self.hashes, (self.sets, self.timers) = before, kept
            return "full"
        self._add(VERSION, int(bool(change.writes)))
        return ""

    def _answer(self, question: Question) -> Any:
        match question:
            case Now():
                return int(self.clock())
            case Fields(fields, bucket):
                return [self.hashes.get(bucket, {}).get(_raw(name)) for name in fields]
            case Members(bucket, members):
                return [_raw(one) in self.sets.get(bucket, ()) for one in members]
            case Known(buckets, members):
                sets = [self.sets.get(bucket, set()) for bucket in buckets]
                return [at for at, one in enumerate(members) if any(_raw(one) in known for known in sets)]
            case Page(bucket):
                return 0, dict(self.hashes.get(bucket, {}))
            case Timers(until, most):
                due = sorted((at, name) for name, at in self.timers.items() if at <= until)
                return {name: at for at, name in due[:most]}

    def _holds(self, op: Op) -> bool:
        fields = self.hashes.get(op.bucket, {})
        match op.kind:
            case "equals":
                return all(fields.get(name) == value for name, value in _pairs(op.words))
            case "absent":
                return not any(_raw(name) in fields for name in op.words)
            case "lacks":
                return not any(_raw(one) in self.sets.get(op.bucket, ()) for one in op.words)
            case _:
                return all(len(fields.get(name, b"")) == int(size) for name, size in _pairs(op.words))

    def _write(self, op: Op) -> None:
        match op.kind:
            case "add":
                known = self.sets.setdefault(op.bucket, set())
                self._count(op, len({_raw(one) for one in op.words} - known))
                known |= {_raw(one) for one in op.words}
            case "timer":
                for due, name in _pairs(op.words):
                    self._set_timer(name.decode(), float(due), op.extra)
            case "forget":
                for word in op.words:
                    self.timers.pop(_raw(word).decode(), None)
            case "unlink" | "evict":
                size = len(self.sets.pop(op.bucket, ())) + len(self.hashes.pop(op.bucket, ()))
                self.timers.pop(op.bucket, None)
                self._count(op, -size)
                if op.kind == "evict":
                    self._add(EVICTED, size)
            case "delete":
                fields = self.hashes.setdefault(op.bucket, {})
                for field in op.words:
                    self._count(op, -int(fields.pop(_raw(field), None) is not None))
            case _:
                self._write_fields(op)

    def _write_fields(self, op: Op) -> None:
        fields = self.hashes.setdefault(op.bucket, {})
        for name, value in _pairs(op.words):
            old = fields.get(name)
            self._count(op, int(old is None))
            match op.kind:
                case "append":
                    fields[name] = (old or b"") + value
                case "merge":
                    fields[name] = _merged(op.extra, old, value)
                case "raise":
                    fields[name] = value if old is None or float(old) < float(value) else old
                case "count":
                    fields[name] = b"%d" % (int(old or 0) + int(value))
                case _:
                    fields[name] = value

    def _set_timer(self, name: str, due: float, only: str) -> None:
        old = self.timers.get(name)
        kept = old is not None and (
            only == "NX" or (only == "GT" and due <= old) or (only == "LT" and due >= old)
        )
        if not kept:
            self.timers[name] = due

    def _count(self, op: Op, more: int) -> None:
        if op.bucket != SCALARS and more:
            self._add(KEYS, more)

    def _add(self, field: str, amount: int) -> None:
        if amount:
            scalars = self.hashes.setdefault(SCALARS, {})
            scalars[field.encode()] = b"%d" % (self._number(field) + amount)

    def _number(self, field: str) -> int:
        return int(self.hashes.get(SCALARS, {}).get(field.encode(), 0))


def _raw(value: Value) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _pairs(words: Sequence[Value]) -> Iterator[tuple[bytes, bytes]]:
    return zip(map(_raw, words[::2]), map(_raw, words[1::2]), strict=True)


def _merged(letters: str, old: bytes | None, new: bytes) -> bytes:
    if old is None:
        return new
    gap, _, own = letters.rpartition("~")
    kinds = [_LETTERS[letter] for letter in own]
    one, other = partials.unpacked(old), partials.unpacked(new)
    if gap:
        return partials.packed(merged_sessions(kinds, int(gap), one, other))
    return partials.packed(partials.merged(kinds, one, other))
