"""Field rule: what `validate` requires of one field, such as `float >= 0`, read once, checked per record."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec import Struct

from rsq_pipe.spec.stages.field_kinds import KINDS, Kind
from rsq_pipe.suggestion import OTHER_TYPES, one_of, suggest

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_WORDS = ("in", "matches", "length")
_ELSEWHERE = {
    "=": "write `==`, `<=` or `>=`",
    **dict.fromkeys(
        ("|", "null", "nullable", "optional"), "write `?` after the type if it may be null: `str?`"
    ),
    **dict.fromkeys(("min", "minimum", "ge", "gte", "at_least"), "write `>= NUMBER`"),
    **dict.fromkeys(("max", "maximum", "le", "lte", "at_most"), "write `<= NUMBER`"),
    "gt": "write `> NUMBER`",
    "lt": "write `< NUMBER`",
    "between": "write `>= LOW and <= HIGH`",
    "positive": "write `> 0`",
    **dict.fromkeys(("regex", "pattern", "like", "~"), "write `matches PATTERN`"),
    **dict.fromkeys(("enum", "oneof", "one_of"), "write `in [a, b]`"),
    **dict.fromkeys(("len", "size"), "write `length <= NUMBER`"),
    **dict.fromkeys(("minlength", "min_length"), "write `length >= NUMBER`"),
    **dict.fromkeys(("maxlength", "max_length"), "write `length <= NUMBER`"),
    **dict.fromkeys(("?", "optional", "nullable", "null", "or"), "write `TYPE?`, a `?` after the type"),
    **dict.fromkeys(
        ("not", "required", "notnull", "not_null"), "remove it: a field without `?` must be there"
    ),
}
"""Constraints of other languages -> how to write them here."""

# Quoted text, a comparison, a bracket or comma, or a word: any text between spaces and these.
_TOKEN = re.compile(r"""\s*('[^']*'|"[^"]*"|[<>=]=|[<>\[\],]|[^\s<>=\[\],'"]+|\S)""")
_PATTERN = re.compile(r"""\s*('[^']*'|"[^"]*"|\S+)""")


class RuleError(ValueError):
    """A rule that cannot be read: what is wrong, the fix, and the place in the text, from 0."""

    def __init__(self, what: str, fix: str = "", at: int = 0) -> None:
        super().__init__(f"{what}; {fix}" if fix else what)
        self.what = what
        self.fix = fix
        self.at = at


class Test(Struct, frozen=True):
    """Hold one constraint: its text for messages, and the check of a value."""

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class FieldRule:
    """
    Hold the requirements for one field.

    Args:
        text: As the user wrote it.
        kind: The type.
        optional: Whether the field may be missing or null.
        tests: The constraints, for a value of that type.
    """

    text: str
    kind: Kind
    optional: bool = False
    tests: tuple[Test, ...] = field(default=(), compare=False)

    def __reduce__(self) -> tuple[Callable[[str], FieldRule], tuple[str]]:
        return parse_rule, (self.text,)

    def broken(self, value: Any) -> str:
        """Return the constraints that a value of the right type does not meet; empty if it meets all."""
        measured = self.kind.measure(value)
        broken = [test.words for test in self.tests if not test.holds(measured)]
        return " and ".join(broken) if broken else ""


def parse_rule(text: str) -> FieldRule:
    """
    Parse a rule: a type, `?` if the field may be missing or null, and constraints joined by `and`.

    Raises:
        RuleError: It is not a rule; with the place in the text.
    """
    return _Parser(text).rule()


class _Token(NamedTuple):
    text: str
    at: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._next = 0

    def rule(self) -> FieldRule:
        first = self._take("a type, such as `int`")
        name = first.text.removesuffix("?")
        if name not in KINDS:
            raise RuleError(f"there is no type {name!r}", _type_fix(name), first.at)
        kind, tests = KINDS[name], list[Test]()
        while (token := self._peek()) is not None:
            if tests:
                if token.text != "and":
                    fix = "join constraints by `and`, and put text with spaces or brackets in quotes"
                    raise RuleError(f"found {token.text!r} after a constraint", fix, token.at)
                self._take("and")
            tests.append(self._test(kind))
        return FieldRule(self._text, kind, first.text.endswith("?"), tuple(tests))

    def _test(self, kind: Kind) -> Test:
        token = self._take("a constraint, such as `>= 0`")
        if token.text in _COMPARISONS:
            self._allow(kind, token, allowed=kind.ordered)
            wanted, shown = self._value(kind)
            compare = _COMPARISONS[token.text]
            return Test(f"must be {token.text} {shown}", lambda value: compare(value, wanted))
        match token.text:
            case "in":
                self._allow(kind, token, allowed=kind.ordered or kind.name in {"str", "bool"})
                return self._one_of(kind)
            case "matches":
                self._allow(kind, token, allowed=kind.name == "str")
                return self._pattern()
            case "length":
                self._allow(kind, token, allowed=kind.sized)
                return self._length()
        fix = suggest(token.text, _WORDS, otherwise=f"use {one_of([*_WORDS, *_COMPARISONS])}")
        fix = _ELSEWHERE.get(token.text.lower(), fix)
        raise RuleError(f"there is no constraint {token.text!r}", fix, token.at)

    def _one_of(self, kind: Kind) -> Test:
        opening = self._take("a list, such as `[a, b]`")
        if opening.text != "[":
            raise RuleError(f"`in` takes a list, not {opening.text!r}", "write `in [a, b]`", opening.at)
        wanted, shown = [], []
        while True:
            value, words = self._value(kind)
            wanted.append(value)
            shown.append(words)
            closing = self._take("`]`")
            if closing.text == "]":
                break
            if closing.text != ",":
                fix = "separate values by commas, and put text with spaces in quotes"
                raise RuleError(f"found {closing.text!r} in the list", fix, closing.at)
        among = frozenset(wanted)
        return Test(f"must be in [{', '.join(shown)}]", lambda value: value in among)

    def _pattern(self) -> Test:
        token = self._take("a pattern", _PATTERN)
        pattern = _unquoted(token.text)
        return Test(f"must match {pattern}", _matcher(pattern, token.at))

    def _length(self) -> Test:
        token = self._take("a comparison, such as `<= 20`")
        if token.text not in _COMPARISONS:
            raise RuleError(
                f"`length` takes a comparison, not {token.text!r}", "write `length <= 20`", token.at
            )
        number = self._take("a whole number")
        if not number.text.isdecimal():
            raise RuleError(f"a length is a whole number, not {number.text!r}", "", number.at)
        wanted, compare = int(number.text), _COMPARISONS[token.text]
        return Test(f"must have a length {token.text} {wanted}", lambda value: compare(len(value), wanted))

    def _value(self, kind: Kind) -> tuple[Any, str]:
        token = self._take(f"a value of type {kind.name}")
        text = _unquoted(token.text)
        if token.text in {"[", "]", ","} or token.text in _COMPARISONS:
            raise RuleError(f"a value is missing before {token.text!r}", "", token.at)
        try:
            return kind.measure(kind.literal(text)), text
        except ValueError as exc:
            raise RuleError(f"{text!r} is not {kind.wanted}", "", token.at) from exc

    def _allow(self, kind: Kind, token: _Token, *, allowed: bool) -> None:
        if not allowed:
            sized = kind.sized and token.text in _COMPARISONS
            fix = f"write `{kind.name} length {token.text} NUMBER`" if sized else "remove it"
            raise RuleError(f"`{token.text}` is nothing for {kind.name}", fix, token.at)

    def _peek(self, pattern: re.Pattern[str] = _TOKEN) -> _Token | None:
        found = pattern.match(self._text, self._next)
        return _Token(found[1], found.start(1)) if found else None

    def _take(self, wanted: str, pattern: re.Pattern[str] = _TOKEN) -> _Token:
        token = self._peek(pattern)
        if token is None:
            raise RuleError(f"it ends where {wanted} is expected", "", len(self._text.rstrip()))
        self._next = token.at + len(token.text)
        return token


def _type_fix(name: str) -> str:
    bare = name.lower().partition("(")[0]  # as in SQL: decimal(10,2)
    ours = OTHER_TYPES.get(bare) or (bare if bare in KINDS else None)
    return f"write `{ours}`" if ours else suggest(name, KINDS)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0] else text


def _matcher(pattern: str, at: int) -> Callable[[Any], bool]:
    """
    Compile a pattern for whole texts.

    The engine takes time linear in the text, because it runs between heartbeats: one record could keep
    Python's own engine busy for years.
    """
    # Imported here: it costs 20 ms, and few pipelines have a pattern.
    from jsonschema_rs import RegexOptions, validator_for  # noqa: PLC0415

    try:
        re.compile(pattern)  # raises our own messages, and ensures that brackets are balanced
        found = validator_for({"pattern": f"^(?:{pattern})$"}, pattern_options=RegexOptions()).is_valid
    except re.error as exc:
        raise RuleError(f"the pattern is wrong: {exc}", "", at) from exc
    except ValueError as exc:
        what = "the pattern needs what cannot be matched in bounded time, or is none"
        raise RuleError(what, "do without lookaround and backreferences", at) from exc

    def matches(value: Any) -> bool:
        try:
            return found(value)
        except ValueError:  # half of a surrogate pair
            return False

    return matches
