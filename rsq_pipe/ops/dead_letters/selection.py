"""Selection: which dead letters a command applies to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from rsq_pipe.errors import MissingFieldError
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.spec.expressions.explanation import explained
from rsq_pipe.spec.expressions.expression import Expression

_ENTRY = re.compile(r"(?:([a-z][a-z0-9_-]*)/)?([0-9]{1,20})-([0-9]{1,20})")
_MOST = 2**64 - 1


class DeadLetterName(Struct, frozen=True):
    """
    Identify one dead letter.

    Args:
        id: Its entry id.
        stage: Its stage; may be empty if only one stage has a dead letter of that id.
    """

    id: str
    stage: str = ""


def parse_name(text: str) -> DeadLetterName | None:
    """Parse `1700000000000-0` or `validate/1700000000000-0`; None if it is neither."""
    match = _ENTRY.fullmatch(text)
    if match is None or max(int(match[2]), int(match[3])) > _MOST:
        return None
    return DeadLetterName(f"{match[2]}-{match[3]}", match[1] or "")


class Selection(Struct, frozen=True):
    """
    Define which dead letters to take; all of them by default.

    Args:
        stages: The stages; empty for any.
        where: Only those for which this is true. It sees the payload's fields by name, and `dlq`, `headers`,
            `payload`.
        since: Written at this time (seconds of Unix time) or later.
        age: Written in the last so many seconds; both use the server's clock.
        names: Only these letters.
        rid: Only those of this record.
        limit: Maximum number, oldest of each stage first.
        belongs: A further condition; None for none.
    """

    stages: tuple[str, ...] = ()
    where: Expression | None = None
    since: float | None = None
    age: float | None = None
    names: tuple[DeadLetterName, ...] = ()
    rid: str = ""
    limit: int | None = None
    belongs: Callable[[DeadLetter], bool] | None = None


@dataclass(slots=True)
class Sieve:
    """
    Filter dead letters by their content, and count those for which the condition has no value.

    Args:
        selection: The selection.
        payloads: Decodes payloads.
        passed_over: Dead letters for which `where` has no value: a field is missing, a text is not a number.
        why: The error of the first of these.
    """

    selection: Selection
    payloads: Payloads
    passed_over: int = 0
    why: str = ""
    _passed: int = field(default=0, repr=False)

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        limit = self.selection.limit
        return limit is not None and self._passed >= limit

    def passes(self, letter: DeadLetter) -> bool:
        """Return whether a dead letter is selected, and count it."""
        is_asked_for = self.selection.rid in ("", letter.rid)
        belongs = self.selection.belongs
        chosen = (
            is_asked_for and not self.is_full and (belongs is None or belongs(letter)) and self._holds(letter)
        )
        self._passed += chosen
        return chosen

    def _holds(self, letter: DeadLetter) -> bool:
        held, why = holds(self.selection.where, lambda: view(letter, self.payloads.decode(letter.raw)))
        if why:
            self.passed_over += 1
            self.why = self.why or f"{letter.name}: {why}"
        return held


def holds(where: Expression | None, fields: Callable[[], Mapping[str, Any]]) -> tuple[bool, str]:
    """Return whether a condition holds (no condition always does), and if it has no value, why."""
    if where is None:
        return True, ""
    try:
        return bool(where.evaluate(fields())), ""
    except MissingFieldError as exc:
        return False, str(exc)
    except Exception as exc:  # noqa: BLE001  an expression over foreign data may raise anything
        return False, explained(exc)


def view(letter: DeadLetter, payload: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a dead letter as expressions see it; fields whose names are taken are only in `payload`."""
    own: dict[str, Any] = {"dlq": {**letter.facts(), "error": letter.error}, "headers": letter.headers}
    return {**payload, **own, "payload": payload} if payload is not None else own
