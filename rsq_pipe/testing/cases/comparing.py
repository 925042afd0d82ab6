"""Comparing: compares the expected results of a test with the actual ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from rsq_pipe.spec.document import Path_
from rsq_pipe.testing.cases.case import Case, Dead, Happened
from rsq_pipe.testing.cases.models import Expect, ExpectedDeadLetter

Kind = Literal["changed", "missing", "unexpected", "count", "text"]
NO_VALUE = object()
"""The value of a missing field."""


class Difference(Struct, frozen=True):
    """
    Describe one field that is not as expected.

    Args:
        path: Its name, preceded by those of the mappings that contain it.
        expected, actual: Its values; NO_VALUE if it is missing.
    """

    path: str
    expected: Any
    actual: Any


class Mismatch(Struct, frozen=True):
    """
    Describe a result that is not as expected.

    Args:
        path: The path of the expectation in the test file.
        what: The result: `out[0]`, `dlq`, `dropped`.
        kind: `missing`: it did not come; `unexpected`: it should not have come; `changed`: it came with
            differences.
        expected, actual: The expected and the actual result.
        fields: The differences, if it is `changed`.
    """

    path: Path_
    what: str
    kind: Kind
    expected: Any = None
    actual: Any = None
    fields: Sequence[Difference] = ()


Pair: TypeAlias = tuple[int | None, int | None]


def mismatches(case: Case, happened: Happened) -> list[Mismatch]:
    """List everything that is not as a test expects; without `expect`, a test expects no failures."""
    expect = case.test.expect or Expect()
    path = (*case.path, "expect")
    found: list[Mismatch] = []
    for name, ref in case.expected.items():
        expected = expect.__pydantic_extra__[name]
        found += _records(case, (*path, name), name, expected, happened.streams.get(ref, []))
    if case.is_of_one_stage and not case.is_partial:
        named = set(case.expected.values())
        for name, ref in case.ends.items():
            if ref not in named and case.test.expect is not None:
                found += _records(case, path, name, [], happened.streams.get(ref, []))
    found += _dead(case, (*path, "dlq"), expect, happened.dead)
    found += _dropped(case, (*path, "dropped"), expect, happened.dropped)
    found += _stopped((*path, "stopped"), expect.stopped, happened.stopped)
    return found


def _records(
    case: Case,
    path: Path_,
    name: str,
    expected: Sequence[Mapping[str, Any]],
    actual: Sequence[Mapping[str, Any]],
) -> Iterator[Mismatch]:
    partial = case.is_partial
    for wanted, came in _pairs(
        expected,
        actual,
        lambda one, other: not any(differences(one, other, partial=partial)),
        ordered=case.test.order == "given",
    ):
        if came is None:
            assert wanted is not None
            yield Mismatch((*path, wanted), f"{name}[{wanted}]", "missing", expected[wanted])
        elif wanted is None:
            yield Mismatch(path, name, "unexpected", actual=actual[came])
        elif fields := list(differences(expected[wanted], actual[came], partial=partial)):
            what = f"{name}[{wanted}]"
            yield Mismatch((*path, wanted), what, "changed", expected[wanted], actual[came], fields)


def _dead(case: Case, path: Path_, expect: Expect, dead: Sequence[Dead]) -> Iterator[Mismatch]:
    if isinstance(expect.dlq, int):
        if len(dead) != expect.dlq:
            yield Mismatch(path, "dlq", "count", expect.dlq, len(dead))
            yield from (Mismatch(path, "dlq", "unexpected", actual=described(one)) for one in dead)
        return

    def matches(wanted: ExpectedDeadLetter, came: Dead) -> bool:
        return not any(_of_letter(case, wanted, came))

    for wanted, came in _pairs(expect.dlq, dead, matches, ordered=case.test.order == "given"):
        if came is None:
            assert wanted is not None
            shown = _written(expect.dlq[wanted])
            yield Mismatch((*path, wanted), f"dlq[{wanted}]", "missing", shown)
        elif wanted is None:
            yield Mismatch(path, "dlq", "unexpected", actual=described(dead[came]))
        elif fields := list(_of_letter(case, expect.dlq[wanted], dead[came])):
            shown, other = _written(expect.dlq[wanted]), described(dead[came])
            yield Mismatch((*path, wanted), f"dlq[{wanted}]", "changed", shown, other, fields)


def described(dead: Dead) -> dict[str, Any]:
    """Describe a dead letter in the form of `expect`."""
    return {"stage": dead.stage, "reason": dead.reason, "error": dead.error, "record": dead.record}


def _written(letter: ExpectedDeadLetter) -> dict[str, Any]:
    return {name: value for name, value in letter.model_dump().items() if value not in ("", None)}


def _of_letter(case: Case, wanted: ExpectedDeadLetter, came: Dead) -> Iterator[Difference]:
    if wanted.stage and wanted.stage != came.stage:
        yield Difference("stage", wanted.stage, came.stage)
    if wanted.reason and wanted.reason != came.reason:
        yield Difference("reason", wanted.reason, came.reason)
    if wanted.error not in came.error:
        yield Difference("error", wanted.error, came.error)
    if wanted.record is not None:
        yield from differences(wanted.record, came.record, "record", partial=case.is_partial)


def _dropped(case: Case, path: Path_, expect: Expect, dropped: Mapping[str, int]) -> Iterator[Mismatch]:
    wanted = expect.dropped
    if wanted is None:
        if not case.is_of_one_stage or case.is_partial or case.test.expect is None:
            return
        wanted = 0
    total = sum(dropped.values())
    if isinstance(wanted, int):
        if wanted != total:
            shown = f"{total} ({', '.join(f'{reason}: {count}' for reason, count in dropped.items())})"
            yield Mismatch(path, "dropped", "count", wanted, shown if total else 0)
        return
    for reason in dict.fromkeys((*wanted, *dropped)):
        if wanted.get(reason, 0) != dropped.get(reason, 0):
            there = (*path, reason) if reason in wanted else path
            yield Mismatch(
                there, f"dropped: {reason}", "count", wanted.get(reason, 0), dropped.get(reason, 0)
            )


def _stopped(path: Path_, wanted: str, came: str) -> Iterator[Mismatch]:
    if (wanted and wanted not in came) or (came and not wanted):
        yield Mismatch(path, "stopped", "text", wanted or "it goes on", came or "it went on")


def differences(expected: Any, actual: Any, path: str = "", *, partial: bool) -> Iterator[Difference]:
    """Yield the fields that are not as expected; numbers that differ only by rounding are equal."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in dict.fromkeys((*expected, *actual)):
            where = f"{path}.{name}" if path else str(name)
            if name not in actual:
                yield Difference(where, expected[name], NO_VALUE)
            elif name in expected:
                yield from differences(expected[name], actual[name], where, partial=partial)
            elif not partial:
                yield Difference(where, NO_VALUE, actual[name])
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for at, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(one, other, f"{path}[{at}]", partial=partial)
    elif not alike(expected, actual):
        yield Difference(path, expected, actual)


def alike(one: Any, other: Any) -> bool:
    """Return whether two values are equal in a test: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)


def _pairs(
    expected: Sequence[Any],
    actual: Sequence[Any],
    matches: Callable[[Any, Any], bool],
    *,
    ordered: bool,
) -> Iterator[Pair]:
    """Pair expected and actual records, as similar as possible; None for one without a partner."""
    if not ordered:
        yield from _any_order(expected, actual, matches)
        return
    if len(expected) == len(actual):
        yield from ((at, at) for at in range(len(expected)))
        return
    words: list[str] = [_word(one) for one in actual]
    wanted = [
        next((words[at] for at, other in enumerate(actual) if matches(one, other)), f"{number}")
        for number, one in enumerate(expected)
    ]
    for _, start, end, there, until in SequenceMatcher(None, wanted, words, autojunk=False).get_opcodes():
        for step in range(max(end - start, until - there)):
            one = start + step if start + step < end else None
            yield one, there + step if there + step < until else None


def _any_order(
    expected: Sequence[Any], actual: Sequence[Any], matches: Callable[[Any, Any], bool]
) -> Iterator[Pair]:
    left = list(range(len(actual)))
    alone: list[int] = []
    for wanted, one in enumerate(expected):
        came = next((at for at in left if matches(one, actual[at])), None)
        if came is None:
            alone.append(wanted)
        else:
            left.remove(came)
            yield wanted, came
    for step in range(max(len(alone), len(left))):
        yield alone[step] if step < len(alone) else None, left[step] if step < len(left) else None


def _word(value: Any) -> str:
    return json.dumps(value if isinstance(value, dict) else described(value), sort_keys=True, default=repr)
