"""Failure groups: many dead letters summarised as a few, by stage and error."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter

MAX_MESSAGES = 20
"""Messages distinguished per stage, reason and error type; beyond that they are grouped more coarsely."""

OTHERS = "(other messages)"

_LONGEST = 300
_SLOT = "\0"
"""The placeholder of a number or an id in a message."""

_VARYING = re.compile(
    r"(?<![\w./-])(?P<file>[\w./-]*\.[A-Za-z]\w*)"  # a file or a host: its digits belong to its name
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"  # a UUID
    r"|\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b"  # a hash
    r"|\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\b"  # a date and time
    r"|(?<![^\W_])\d+(?:[.,:]\d+)*(?![^\W_])"  # a number or an address; not the digits of `cp1252` or `30s`
)
_DIGITS = re.compile(r"\d+(?:[.,:]\d+)*")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class FailureGroup(Struct, frozen=True):
    """
    Describe dead letters with one cause.

    Args:
        stage: The stage that failed them.
        reason, error_type: As in DeadLetter.
        template: Their message without numbers and ids; if there are many messages, also without quoted text.
        values: The numbers and ids left out, in order; None for one that differs between letters.
        count: Number of dead letters.
        first, last: When the first and the last failed.
        example: The newest of them, `stage/id`.
    """

    stage: str
    reason: str
    error_type: str
    template: str
    values: tuple[str | None, ...]
    count: int
    first: datetime
    last: datetime
    example: str

    @property
    def key(self) -> str:
        """The group's name: the same for all letters of one stage, reason, type and message."""
        parts = f"{self.stage}\0{self.reason}\0{self.error_type}\0{self.template}"
        return hashlib.sha256(parts.encode(errors="surrogatepass")).hexdigest()[:16]

    @property
    def message(self) -> str:
        """Their common message, with `#` for a number or id that differs."""
        values = iter(self.values)
        filled = re.sub(_SLOT, lambda _: next(values, None) or "#", self.template)
        return filled if len(filled) <= _LONGEST else f"{filled[: _LONGEST - 1]}…"


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
        _put(groups, self._coarsened(kind, _single(letter, kind)))
        if len(groups) > MAX_MESSAGES and kind not in self._coarse:
            self._coarse.add(kind)
            self._kinds[kind] = {}
            for group in groups.values():
                _put(self._kinds[kind], self._coarsened(kind, group))

    def key_of(self, letter: DeadLetter) -> str:
        """Name the group that a dead letter belongs to."""
        kind = _Kind(letter.stage, letter.reason, letter.error_type)
        self._kinds.setdefault(kind, {})
        return self._coarsened(kind, _single(letter, kind)).key

    def _coarsened(self, kind: _Kind, group: FailureGroup) -> FailureGroup:
        """Describe a failure with many different messages more coarsely: without digits and quoted text."""
        if kind not in self._coarse:
            return group
        template = _DIGITS.sub("#", _QUOTED.sub("'…'", group.template.replace(_SLOT, "#")))
        known = self._kinds[kind]
        if template not in known and len(known) >= MAX_MESSAGES:
            template = OTHERS
        return replace(group, template=template, values=())

    def __iter__(self) -> Iterator[FailureGroup]:
        """Yield the groups, stage by stage as they came, largest first."""
        stages = list(dict.fromkeys(kind.stage for kind in self._kinds))
        groups = [group for kind in self._kinds.values() for group in kind.values()]
        yield from sorted(groups, key=lambda group: (stages.index(group.stage), -group.count))

    @property
    def total(self) -> int:
        """How many dead letters were added."""
        return sum(group.count for group in self)


def collapsed(message: str) -> tuple[str, tuple[str, ...]]:
    """Separate the numbers and ids from a message, and truncate a very long one."""
    values: list[str] = []

    def take(found: re.Match[str]) -> str:
        if found["file"]:
            return found[0]
        values.append(found[0])
        return _SLOT

    text = _VARYING.sub(take, " ".join(message.replace(_SLOT, " ").split())[: 2 * _LONGEST])
    return text, tuple(values)


def _single(letter: DeadLetter, kind: _Kind) -> FailureGroup:
    return FailureGroup(*kind, *collapsed(letter.message), 1, letter.at, letter.at, letter.name)


def _put(groups: dict[str, FailureGroup], new: FailureGroup) -> None:
    old = groups.get(new.template, new)
    groups[new.template] = FailureGroup(
        *(new.stage, new.reason, new.error_type, new.template),
        values=tuple(a if a == b else None for a, b in zip(old.values, new.values, strict=True)),
        count=new.count if old is new else old.count + new.count,
        first=min(old.first, new.first),
        last=max(old.last, new.last),
        example=new.example if new.last >= old.last else old.example,
    )
