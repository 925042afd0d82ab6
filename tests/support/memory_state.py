"""A stage's state in memory, for tests of verbs without a server: what is asked, checked and written."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from rsq_pipe.model.partials import KINDS, merged, packed, unpacked
from rsq_pipe.model.state import SCALARS, Fields, Now, Question, StateChange

_NAMES = {kind.letter: name for name, kind in KINDS.items()}


class MemoryState:
    """What `aggregate` asks and changes; a check that does not hold is a failed test."""

    def __init__(self) -> None:
        self.now = 1_000
        self.hashes: dict[str, dict[bytes, bytes]] = defaultdict(dict)
        self.timers: dict[str, float] = {}

    async def ask(self, *questions: Question) -> list[Any]:
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Any:
        match question:
            case Now():
                return self.now
            case Fields(fields, bucket):
                return [self.hashes[bucket].get(_bytes(field)) for field in fields]
        raise AssertionError(f"not asked by this verb: {question}")

    def scalar(self, name: str) -> str | None:
        value = self.hashes[SCALARS].get(name.encode())
        return None if value is None else value.decode()

    def write(self, change: StateChange | None) -> None:
        """Check and write, as a settlement does."""
        for op in change.checks if change else ():
            held = self.hashes[op.bucket]
            if op.kind == "absent":
                assert not [field for field in op.words if _bytes(field) in held]
            else:
                assert op.kind == "equals"
                assert all(held.get(field) == value for field, value in _pairs(op.words))
        for op in change.writes if change else ():
            held = self.hashes[op.bucket]
            match op.kind:
                case "merge":
                    kinds = [_NAMES[letter] for letter in op.extra]
                    for field, value in _pairs(op.words):
                        old = held.get(field)
                        held[field] = (
                            value if old is None else packed(merged(kinds, unpacked(old), unpacked(value)))
                        )
                case "raise":
                    for field, value in _pairs(op.words):
                        held[field] = max(held.get(field, value), value, key=float)
                case "set":
                    held.update(_pairs(op.words))
                case "timer":
                    self.timers.update({name.decode(): float(at) for at, name in _pairs(op.words)})
                case _:
                    raise AssertionError(f"not written by this verb: {op}")


def _pairs(words: Any) -> list[tuple[bytes, bytes]]:
    return list(zip(map(_bytes, words[::2]), map(_bytes, words[1::2]), strict=True))


def _bytes(word: Any) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()
