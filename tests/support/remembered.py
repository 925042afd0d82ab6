"""Remembered: the state of a stage in memory, for tests of verbs that have one; no server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rsq_pipe.model.state import Fields, Members, Now, Op, Page, Question, StateChange, Timers


def _bytes(word: Any) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


def _pairs(words: Sequence[Any]) -> list[tuple[bytes, bytes]]:
    flat = [_bytes(word) for word in words]
    return list(zip(flat[::2], flat[1::2], strict=True))


class Remembered:
    """
    Hold hashes, sets and timers; `settle` does what the settlement's script does with a change.

    Attributes:
        now: What its clock says, in milliseconds.
    """

    def __init__(self, now: int = 0) -> None:
        self.now = now
        self.hashes: dict[str, dict[bytes, bytes]] = {}
        self.sets: dict[str, set[bytes]] = {}
        self.timers: dict[str, float] = {}
        self.asked = 0

    async def ask(self, *questions: Question) -> list[Any]:
        self.asked += 1
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Any:
        match question:
            case Now():
                return self.now
            case Fields(fields, bucket):
                return [self.hashes.get(bucket, {}).get(_bytes(name)) for name in fields]
            case Members(bucket, members):
                return [_bytes(one) in self.sets.get(bucket, ()) for one in members]
            case Page(bucket):
                return 0, dict(self.hashes.get(bucket, {}))
            case Timers(until, most):
                due = sorted((at, name) for name, at in self.timers.items() if at <= until)
                return {name: at for at, name in due[:most]}

    def settle(self, change: StateChange) -> str:
        """Check, then write; '' where it was written, else `stale` or `full`."""
        if not all(self._holds(op) for op in change.checks):
            return "stale"
        kept = {bucket: dict(held) for bucket, held in self.hashes.items()}, {
            bucket: set(held) for bucket, held in self.sets.items()
        }, dict(self.timers)  # fmt: skip
        for op in change.writes:
            self._write(op)
        if change.most and self.keys > change.most:
            self.hashes, self.sets, self.timers = kept
            return "full"
        return ""

    @property
    def keys(self) -> int:
        """How many keys the buckets hold."""
        return sum(len(held) for name, held in (*self.hashes.items(), *self.sets.items()) if name)

    def _holds(self, op: Op) -> bool:
        held = self.hashes.get(op.bucket, {})
        match op.kind:
            case "equals":
                return all(held.get(name) == value for name, value in _pairs(op.words))
            case "absent":
                return not any(_bytes(name) in held for name in op.words)
            case "lacks":
                return not any(_bytes(one) in self.sets.get(op.bucket, ()) for one in op.words)
            case _:
                return all(len(held.get(name, b"")) == int(size) for name, size in _pairs(op.words))

    def _write(self, op: Op) -> None:
        getattr(self, f"_{op.kind}")(op)

    def _set(self, op: Op) -> None:
        self._held(op).update(_pairs(op.words))

    def _append(self, op: Op) -> None:
        held = self._held(op)
        for name, value in _pairs(op.words):
            held[name] = held.get(name, b"") + value

    def _count(self, op: Op) -> None:
        held = self._held(op)
        for name, value in _pairs(op.words):
            held[name] = str(int(held.get(name, 0)) + int(value)).encode()

    def _raise(self, op: Op) -> None:
        held = self._held(op)
        for name, value in _pairs(op.words):
            held[name] = max(held.get(name, value), value, key=float)

    def _add(self, op: Op) -> None:
        self.sets.setdefault(op.bucket, set()).update(map(_bytes, op.words))

    def _delete(self, op: Op) -> None:
        for name in map(_bytes, op.words):
            self._held(op).pop(name, None)

    def _timer(self, op: Op) -> None:
        self.timers |= {name.decode(): float(at) for at, name in _pairs(op.words)}

    def _forget(self, op: Op) -> None:
        for name in map(_bytes, op.words):
            self.timers.pop(name.decode(), None)

    def _unlink(self, op: Op) -> None:
        self.hashes.pop(op.bucket, None)
        self.sets.pop(op.bucket, None)
        self.timers.pop(op.bucket, None)

    _evict = _unlink

    def _held(self, op: Op) -> dict[bytes, bytes]:
        return self.hashes.setdefault(op.bucket, {})
