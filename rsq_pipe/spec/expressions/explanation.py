"""Explanation: why an expression failed, in the terms of expressions, not of the interpreter."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from rsq_pipe.suggestion import one_of

MAX_LENGTH = 500
"""Maximum characters of an explanation."""

_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "complex": "a number",
    "bool": "a truth value",
    "NoneType": "null",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "set": "a set",
    "bytes": "bytes",
    "datetime.date": "a date",
    "datetime.datetime": "a moment",
    "datetime.timedelta": "a duration",
    "generator": "a loop",
}
_KIND = r"'?([\w.]+)'?"
_ESCAPE = re.compile(r'"(\\.+?)" is an (invalid (?:octal )?escape sequence)\.')  # as Python 3.14 words it

# The interpreter's message, in any version -> ours, with the kinds of values it names.
_TYPES: tuple[tuple[str, str], ...] = (
    (rf"'(\S+)' not supported between instances of {_KIND} and {_KIND}", "`{0}` cannot compare {1} with {2}"),
    (
        rf"unsupported operand type\(s\) for (\S+?)(?: or pow\(\))?: {_KIND} and {_KIND}",
        "`{0}` cannot be applied to {1} and {2}",
    ),
    (r'can only concatenate (\w+) \(not "([\w.]+)"\) to \w+', "`+` cannot be applied to {0} and {1}"),
    (rf"can't multiply sequence by non-int of type {_KIND}", "`*` cannot multiply text or a list by {0}"),
    (rf"bad operand type for (?:unary )?(\S+?)(?:\(\))?: {_KIND}", "`{0}` cannot be applied to {1}"),
    (rf"object of type {_KIND} has no len\(\)", "{0} has no length"),
    (rf"{_KIND} object is not subscriptable", "{0} has no items or fields"),
    (rf"{_KIND} object is not iterable", "{0} has no items to go through"),
    (
        rf"argument of type {_KIND} is not (?:iterable|a container or iterable)",
        "`in` cannot look into {0}",
    ),
    (
        rf"(list|tuple|string) indices must be integers(?: or slices)?, not {_KIND}",
        "{0} is indexed by a whole number, not by {1}",
    ),
    (rf"unhashable type: {_KIND}", "{0} cannot be a key or an item of a set"),
    (rf"cannot use {_KIND} as a .*", "{0} cannot be a key or an item of a set"),
    (rf"(int|float)\(\) argument must be .*, not {_KIND}", "{1} is not a number"),
    (
        rf"descriptor '(\w+)' for '\w+' objects doesn't apply to an? {_KIND} object",
        "{0}() takes text, not {1}",
    ),
    (rf"unsupported format string passed to {_KIND}\.__format__", "{0} cannot be written in such a format"),
    (rf"type {_KIND} doesn't define __round__ method", "`round` cannot be applied to {0}"),
    (rf"cannot unpack non-iterable {_KIND} object", "{0} cannot be unpacked into several names"),
    (rf"{_KIND} object cannot be interpreted as an integer", "{0} is not a whole number"),
    (rf"(\w+) first arg must be str or a tuple of str, not {_KIND}", "{0}() takes text, not {1}"),
    (rf"must be real number, not {_KIND}", "{0} is not a number"),
    (r"(\w+)\(\) takes text, not (\w+)", "{0}() takes text, not {1}"),
    (r"`\*\*` takes a mapping, not (\w+)", "`**` takes a mapping, not {0}"),
    (r"can't compare ([\w.]+) to ([\w.]+)", "`<` or `>` cannot compare {0} with {1}"),
    (
        rf"'in <string>' requires string as left operand, not {_KIND}",
        "`in` looks for text in a text, not for {0}",
    ),
    (r"cannot convert dictionary update sequence element .*", "dict() takes pairs"),
    (r"(add\(\) takes a duration \('1h'\) or seconds, not) (\w+)", "{0} {1}"),
    (r"(replace)\(\) argument \d must be str, not (\w+)", "{0}() takes text, not {1}"),
    # Since Python 3.13 named after the method that the function uses: replace() counts first.
    (r"(?:\w+\(\) argument \d )?must be str(?: or None)?, not (\w+)", "the function takes text, not {0}"),
    (r"strip arg must be None or str", "strip() takes the characters as text"),
    (r"sum\(\) can't sum strings.*", "sum() adds up numbers; write join('', items) for text"),
    (r"(a format is text, such as \S+ and not) (\w+)", "{0} {1}"),
    (r"(\w+) is not a date or ISO 8601 text", "{0} is not a date or moment"),
    (r"a field cannot be named by (\w+); (.*)", "a field cannot be named by {0}; {1}"),
)
_VALUES: tuple[tuple[str, str], ...] = (
    (r"invalid literal for int\(\) with base \d+: (.*)", "{0} is not a whole number"),
    (r"could not convert string to float: (.*)", "{0} is not a number"),
    (r"Invalid isoformat string: (.*)", "{0} is not a date (YYYY-MM-DD) or moment (YYYY-MM-DDTHH:MM:SS)"),
    (r"Unknown format code '(.)' for object of type '(\w+)'", "{1} cannot be written in format '{0}'"),
    (r"zip\(\) argument \d+ is (shorter|longer) than argument.*", "zip() takes lists of one length"),
    (r"(min|max)\(\) (?:arg|iterable argument) is (?:an )?empty.*", "{0}() was given no items"),
    (r"not enough values to unpack.*", "an item has fewer parts than there are names"),
    (r"too many values to unpack.*", "an item has more parts than there are names"),
    (r"dictionary update sequence element .*", "dict() takes pairs"),
    (r"empty separator", "split() takes no empty separator"),
    (r"Exceeds the limit .*digits.*", "a whole number has too many digits"),
    (r"cannot convert float (?:NaN|infinity) to integer", "it is not a finite number"),
)

_NULLS = "rsq_pipe_nulls"
_OPERANDS = re.compile(r"^`\S+` cannot (?:compare|be applied to|multiply) (.+?) (?:with|and|by) (.+)$")

_WHYS: dict[type[BaseException], str] = {
    ZeroDivisionError: "a division by zero",
    IndexError: "there is no item at that place",
    OverflowError: "a number is too large",
    RecursionError: "a value is nested too deeply",
    NameError: "a loop reads its own variable before it is set",
}


def explained(error: BaseException) -> str:
    """Describe why an expression failed for a record, truncated: the text may quote the record."""
    why = _explained(error)
    return why if len(why) <= MAX_LENGTH else f"{why[:MAX_LENGTH]}..."


def _explained(error: BaseException) -> str:
    text = str(error)
    for kind, why in _WHYS.items():
        if isinstance(error, kind):
            return why
    match error:
        case KeyError():
            return f"there is no key {error.args[0]!r}" if error.args else "a key is missing"
        case AttributeError() if found := re.fullmatch(r"'(\w+)' object has no attribute '(\w+)'", text):
            wanted = "text" if found[2] == "join" else "a mapping"
            return f"{found[2]}() takes {wanted}, not {_kind(found[1])}"
        case TypeError():
            why = _translated(text, _TYPES, _kind)
            if re.match(r"`[+-]` cannot be applied to .*\ba (?:date|moment)\b", why):
                why += "; write add(date, '1h'), or days_between(a, b)"
            if re.search(r"compare a (?:date|moment) with|with a (?:date|moment)$", why):
                why += "; write datetime(a) and datetime(b), or date() for both"
            if "; " not in why and (found := _OPERANDS.search(why)):
                why += _of_operands({found[1], found[2]}, getattr(error, _NULLS, ()))
            return why
        case ValueError():
            return _translated(text, _VALUES, lambda word: _KINDS.get(word, word))
    return text or type(error).__name__


def with_nulls(names: Collection[str], error: TypeError, record: Mapping[str, Any]) -> TypeError:
    """Note on an error which of the fields that an expression reads are null, for `explained`."""
    if isinstance(record, dict):
        nulls = [name for name in sorted(names) if name.isidentifier() and record.get(name, name) is None]
        setattr(error, _NULLS, nulls)
    return error


def _of_operands(kinds: set[str], nulls: Sequence[str]) -> str:
    """Explain what to write if text or null is used as a number."""
    if "null" in kinds and nulls:
        verb = "is" if len(nulls) == 1 else "are"
        return f"; {one_of(map(repr, nulls), 'and')} {verb} null: write coalesce({nulls[0]}, 0), say"
    if "null" in kinds:
        return "; write coalesce(a, 0), say, where a may be null"
    if kinds <= {"text", "text or a list", "a number", "a whole number"}:
        return "; write float(a) or int(a) to make a number of text"
    return ""


def of_syntax(message: str) -> str:
    """Describe why a text is not an expression."""
    if message.startswith("invalid syntax."):
        return "a comma or an operator is missing"
    if message.startswith("leading zeros"):
        return "a number begins with 0"
    if message.startswith("unexpected EOF"):
        return "it ends too early"
    if escape := _ESCAPE.match(message):
        return f"{escape[2]} '{escape[1]}'"
    return message.partition(" (detected at")[0]


def _translated(text: str, words: tuple[tuple[str, str], ...], spell: Callable[[str], str]) -> str:
    for theirs, ours in words:
        if found := re.fullmatch(theirs, text, re.DOTALL):
            return ours.format(*map(spell, found.groups()))
    return text


def _kind(word: str) -> str:
    return "text" if word == "string" else _KINDS.get(word, word)
