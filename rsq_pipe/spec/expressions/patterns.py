"""Patterns: regular expressions in expressions, run by an engine in time linear in the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from time import thread_time
from typing import Any

from rsq_pipe.spec.expressions.bounds import MAX_SIZE, TooLargeError, spend

MAX_PATTERN = 1_000
"""Maximum characters of a pattern."""

MAX_PROGRAM = 5_000
"""Maximum steps of the program that a pattern is compiled to: `a{1000}` has a thousand."""

_WORK_PER_SECOND = 20_000_000
"""The amount that a second of searching counts, in the work of an evaluation."""

_ITEM = 16
_CALL = 8 * _ITEM
_GROUP = re.compile(r"\\(\d|\\)")


class Pattern:
    """
    Hold a pattern, compiled once for all records.

    Args:
        text: The pattern.

    Raises:
        ValueError: It is invalid, or needs a feature that takes unbounded time.
    """

    def __init__(self, text: str) -> None:
        # Imported here: it costs 7 ms, and few pipelines have a pattern.
        import re2  # noqa: PLC0415

        if len(text) > MAX_PATTERN:
            raise ValueError(f"a pattern may have {MAX_PATTERN:,} characters; use a call stage")
        options = re2.Options()
        options.log_errors = False
        try:
            # In bytes: in text, the library would compute the character position of each match.
            compiled = re2.compile(text.encode(), options)
        except (re2.error, UnicodeEncodeError) as exc:
            raise ValueError(_message(exc)) from exc
        if compiled.programsize > MAX_PROGRAM:
            raise ValueError(f"the pattern {text[:40]!r} repeats too much; use a call stage")
        self.search: Callable[..., Any] = compiled.search
        self.whole: Callable[..., Any] = compiled.fullmatch
        self.groups: int = compiled.groups
        self.names = {name.decode(): group for name, group in compiled.groupindex.items()}
        # At worst, a search takes time in proportion to both the text and the pattern.
        self.weight = 1 + compiled.programsize // 4

    def found(self, data: bytes, spent: list[int]) -> Iterator[Any]:
        """Yield all matches from left to right; their time is counted, as each may scan all the rest."""
        at, began = 0, thread_time()
        while at <= len(data) and (match := self.search(data, at)) is not None:
            ended = thread_time()
            spend(spent, _ITEM + int((ended - began) * _WORK_PER_SECOND))
            began = ended
            yield match
            at = match.end()
            if match.start() == at:
                at = _behind(data, at)


def matches(spent: list[int], text: str, pattern: Pattern) -> bool:
    """Return whether a pattern matches the whole text."""
    return pattern.whole(_bytes("matches", text, pattern, spent)) is not None


def extract(spent: list[int], text: str, pattern: Pattern, group: int | str | None = None) -> str | None:
    """Return a pattern's first match, or that match's first group."""
    match = pattern.search(_bytes("extract", text, pattern, spent))
    return None if match is None else _part(match, pattern, group)


def extract_all(
    spent: list[int], text: str, pattern: Pattern, group: int | str | None = None
) -> list[str | None]:
    """Return all matches of a pattern, or the first group of each."""
    data = _bytes("extract_all", text, pattern, spent)
    return [_part(match, pattern, group) for match in pattern.found(data, spent)]


def replace_matches(spent: list[int], text: str, pattern: Pattern, new: str) -> str:
    """Replace all matches of a pattern."""
    data = _bytes("replace_matches", text, pattern, spent)
    if not isinstance(new, str):
        raise TypeError(f"replace_matches() takes text, not {type(new).__name__}")
    pieces, total, behind = [], len(data), 0
    template = _template(new, pattern.groups)
    for match in pattern.found(data, spent):
        put = b"".join(one if isinstance(one, bytes) else match.group(one) or b"" for one in template)
        total += len(put)
        if total > MAX_SIZE:
            raise TooLargeError(f"it would build a text of more than {MAX_SIZE:,} bytes; use a call stage")
        pieces += [data[behind : match.start()], put]
        behind = match.end()
    spend(spent, total)
    return b"".join([*pieces, data[behind:]]).decode()


RUNNERS: Mapping[str, Callable[..., Any]] = {
    f.__name__: f for f in (matches, extract, extract_all, replace_matches)
}
"""Functions with a pattern, called with the counter of their work and a compiled pattern."""


def check_pattern(text: Any) -> None:
    """Refuse an invalid pattern with a ValueError."""
    if not isinstance(text, str):
        raise TypeError(f"a pattern is text, not {text!r}")
    Pattern(text)


def _bytes(function: str, text: str, pattern: Pattern, spent: list[int]) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"{function}() takes text, not {type(text).__name__}")
    spend(spent, _CALL + len(text) * pattern.weight)
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise ValueError("the text holds half of a surrogate pair") from exc


def _part(match: Any, pattern: Pattern, group: int | str | None) -> str | None:
    if group is None:
        group = 1 if pattern.groups else 0
    number = pattern.names.get(group) if isinstance(group, str) else group
    if number is None or not 0 <= number <= pattern.groups:
        raise ValueError(f"the pattern has no group {group!r}")
    found = match.group(number)
    return None if found is None else found.decode()


@lru_cache(maxsize=256)
def _template(new: str, groups: int) -> tuple[bytes | int, ...]:
    r"""Parse a replacement: `\1` is a group, `\\` a backslash."""
    parts: list[bytes | int] = []
    for place, part in enumerate(_GROUP.split(new)):
        if place % 2 == 0 or part == "\\":
            parts.append(part.encode())
        elif int(part) <= groups:
            parts.append(int(part))
        else:
            raise ValueError(f"the pattern has no group {part}")
    return tuple(parts)


def _behind(data: bytes, at: int) -> int:
    """Return the offset after one character; its bytes after the first are recognised by their upper bits."""
    at += 1
    while at < len(data) and data[at] & 0xC0 == 0x80:
        at += 1
    return at


def _message(error: Exception) -> str:
    text = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
    fix = "; do without lookaround and backreferences" if re.search(r"perl operator|escape", text) else ""
    return f"the pattern is wrong, {text}{fix}"
