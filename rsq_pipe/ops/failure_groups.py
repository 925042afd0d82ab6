"""Failure groups: many dead letters told as a few, by stage and error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from rsq_pipe.ops.dead_letter import DeadLetter

MAX_MESSAGES = 20
"""Messages told apart per stage, reason and error type; beyond that they are told more coarsely."""

OTHERS = "(other messages)"

_LONGEST = 300
_VARYING = re.compile(
    r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"  # a UUID
    r"|\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b"  # a hash
    r"|\d+(?:[.,:]\d+)*"  # a number, a time, an address
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """
    Tell dead letters of one cause.

    Args:
        stage: The stage that failed them.
        reason, error_type: As of DeadLetter.
        message: Their message, with `#` for numbers and ids; where messages are many, with `'…'` for what is
            quoted.
        count: How many.
        first, last: When the first and the last failed.
        example: The newest of them, `stage/id`.
    """

    stage: str
    reason: str
    error_type: str
    message: str
    count: int
    first: datetime
    last: datetime
    example: str


class _Kind(NamedTuple):
    stage: str
    reason: str
    error_type: str


class FailureGroups:
    """Collect dead letters into groups; memory grows with the kinds of failure, not with the letters."""

    def __init__(self) -> None:
        self._kinds: dict[_Kind, dict[str, FailureGroup]] = {}
        self._coarse: set[_Kind] = set()

    def add(self, letter: DeadLetter) -> None:
        """Count one dead letter."""
        kind = _Kind(letter.stage, letter.reason, letter.error_type)
        groups = self._kinds.setdefault(kind, {})
        message = collapsed(letter.message)
        _put(groups, self._told(kind, message), _single(letter, kind))
        if len(groups) > MAX_MESSAGES and kind not in self._coarse:
            self._coarse.add(kind)
            self._kinds[kind] = {}
            for message, group in groups.items():
                _put(self._kinds[kind], self._told(kind, message), group)

    def _told(self, kind: _Kind, message: str) -> str:
        if kind not in self._coarse:
            return message
        message = _QUOTED.sub("'…'", message)
        known = self._kinds[kind]
        return message if message in known or len(known) < MAX_MESSAGES else OTHERS

    def __iter__(self) -> Iterator[FailureGroup]:
        """Yield the groups, stage by stage as they came, the largest first."""
        stages = list(dict.fromkeys(kind.stage for kind in self._kinds))
        groups = [group for kind in self._kinds.values() for group in kind.values()]
        yield from sorted(groups, key=lambda group: (stages.index(group.stage), -group.count))

    @property
    def total(self) -> int:
        """How many dead letters were added."""
        return sum(group.count for group in self)


def collapsed(message: str) -> str:
    """Put `#` for every number and id in a message, and take one that is very long short."""
    text = _VARYING.sub("#", " ".join(message.split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _single(letter: DeadLetter, kind: _Kind) -> FailureGroup:
    return FailureGroup(*kind, "", 1, letter.at, letter.at, letter.name)


def _put(groups: dict[str, FailureGroup], message: str, new: FailureGroup) -> None:
    old = groups.get(message, new)
    groups[message] = FailureGroup(
        *(new.stage, new.reason, new.error_type, message),
        count=new.count if old is new else old.count + new.count,
        first=min(old.first, new.first),
        last=max(old.last, new.last),
        example=new.example if new.last >= old.last else old.example,
    )
